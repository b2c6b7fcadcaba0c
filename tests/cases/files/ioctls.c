// Descriptor ioctls: FIOCLEX, FIONBIO, FIONREAD on files, FIGETBSZ, unknown ones.
#include "../case.h"
#include <linux/fs.h>
int main(void) {
    scratch();
    put("f", "0123456789");
    int fd = MUST(open("f", O_RDONLY)), n = -1, on = 1;
    NUM(ioctl(fd, FIONREAD, &n)), NUM(n);
    lseek(fd, 4, SEEK_SET);
    ioctl(fd, FIONREAD, &n);
    NUM(n);
    NUM(ioctl(fd, FIOCLEX)), NUM(fcntl(fd, F_GETFD)), NUM(ioctl(fd, FIONCLEX)), NUM(fcntl(fd, F_GETFD));
    NUM(ioctl(fd, FIONBIO, &on)), NUM((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    NUM(ioctl(fd, FIGETBSZ, &n)), NUM(n);
    NUM(ioctl(fd, 0x12345678, &n)), NUM(ioctl(fd, TIOCGWINSZ, &n)), NUM(ioctl(900, FIONREAD, &n)), NUM(ioctl(fd, FIONREAD, 8));
    NUM(ioctl(fd, FICLONE, fd) < 0);
    int p[2];
    MUST(pipe(p));
    NUM(ioctl(p[0], TCGETS, &n)), NUM(ioctl(p[0], FIONBIO, &on));
    char c;
    NUM(read(p[0], &c, 1));
}
