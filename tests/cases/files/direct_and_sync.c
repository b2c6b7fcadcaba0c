// O_SYNC, O_DSYNC, O_DIRECT, O_NOATIME and O_LARGEFILE as flags that open takes.
#include "../case.h"
int main(void) {
    scratch();
    put("f", "0123456789");
    int fd = TRY(open("f", O_RDWR | O_SYNC));
    IS((fcntl(fd, F_GETFL) & O_SYNC) == O_SYNC);
    NUM(write(fd, "abc", 3));
    fd = TRY(open("f", O_RDWR | O_DSYNC));
    IS((fcntl(fd, F_GETFL) & O_SYNC) == O_DSYNC);
    fd = TRY(open("f", O_RDONLY | O_NOATIME));
    char *b = aligned_alloc(4096, 4096);
    NUM(read(fd, b, 4096));
    IS(fcntl(fd, F_GETFL) & O_NOATIME);
    MUST(chown("f", 1, 1)), MUST(chmod("f", 0666)), MUST(chmod(".", 0755));
    if (setuid(1000))
        return 9;
    TRY(open("f", O_RDONLY | O_NOATIME));
    NUM(readahead(fd, 0, 100));
}
