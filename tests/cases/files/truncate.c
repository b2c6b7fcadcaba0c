// truncate and ftruncate: shrink, grow with zeros, kinds of files, modes, limits.
#include "../case.h"
int main(void) {
    scratch();
    put("f", "0123456789");
    NUM(truncate("f", 4));
    say("%s", get("f"));
    NUM(truncate("f", 8));
    int fd = MUST(open("f", O_RDWR));
    char text[16] = "zzzzzzzzzzzzzz";
    NUM(read(fd, text, 16));
    say("%d%d%d%d", text[4], text[5], text[6], text[7]);
    NUM(ftruncate(fd, 2));
    NUM(lseek(fd, 0, SEEK_CUR));
    NUM(write(fd, "x", 1));
    NUM(lseek(fd, 0, SEEK_END));
    NUM(pread(fd, text, 16, 0));
    NUM(text[5]);
    NUM(truncate("missing", 1));
    NUM(truncate(".", 1));
    NUM(truncate("f", -1));
    NUM(ftruncate(MUST(open("f", O_RDONLY)), 1));
    int p[2];
    MUST(pipe(p));
    NUM(ftruncate(p[1], 1));
    MUST(mkfifo("fifo", 0600));
    NUM(truncate("fifo", 1));
    NUM(ftruncate(fd, 1L << 40));
    struct stat s;
    fstat(fd, &s);
    NUM(s.st_size);
    NUM(s.st_blocks < 100);
    NUM(pread(fd, text, 5, (1L << 40) - 3));
    NUM(ftruncate(fd, 0));
    fstat(fd, &s);
    NUM(s.st_blocks);
}
