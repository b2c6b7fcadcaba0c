// splice between files and pipes, offsets, non-blocking, both ends the same pipe.
#include "../case.h"
int main(void) {
    scratch();
    put("in", "0123456789");
    int in = MUST(open("in", O_RDONLY)), out = MUST(open("out", O_RDWR | O_CREAT, 0644)), p[2], q[2];
    MUST(pipe(p)), MUST(pipe(q));
    loff_t offset = 2;
    NUM(splice(in, &offset, p[1], NULL, 5, 0));
    NUM(offset);
    NUM(splice(p[0], NULL, q[1], NULL, 3, 0));
    loff_t at = 10;
    NUM(splice(q[0], NULL, out, &at, 100, 0));
    NUM(at);
    NUM(splice(p[0], NULL, out, NULL, 100, 0));
    struct stat s;
    fstat(out, &s);
    NUM(s.st_size);
    char text[16] = "";
    pread(out, text, 2, 0), pread(out, text + 2, 3, 10);
    say("%s", text);
    NUM(splice(p[0], NULL, q[1], NULL, 10, SPLICE_F_NONBLOCK));
    NUM(splice(p[0], NULL, p[1], NULL, 10, 0));
    NUM(splice(in, NULL, out, NULL, 10, 0));
    NUM(splice(p[0], &offset, out, NULL, 10, 0));
    lseek(in, 0, SEEK_END);
    NUM(splice(in, NULL, p[1], NULL, 10, 0));
    close(p[1]);
    NUM(splice(p[0], NULL, out, NULL, 10, 0));
    close(q[0]);
    signal(SIGPIPE, SIG_IGN);
    offset = 0;
    NUM(splice(in, &offset, q[1], NULL, 10, 0));
    NUM(splice(in, &offset, q[1], NULL, 10, 0x100));
}
