// Hints about how long what is written will live are kept with the file.
#include "../case.h"
int main(void) {
    scratch();
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0644));
    uint64_t hint = 77, other = 77, bad = 6;
    NUM(fcntl(fd, F_GET_RW_HINT, &hint)), NUM(hint);
    hint = 4;
    NUM(fcntl(fd, F_SET_RW_HINT, &hint)), NUM(fcntl(fd, F_SET_RW_HINT, &bad)), NUM(fcntl(fd, F_SET_RW_HINT, 8));
    int again = MUST(open("f", O_RDONLY));
    NUM(fcntl(again, F_GET_RW_HINT, &other)), NUM(other);
    hint = 0;
    NUM(fcntl(again, F_SET_RW_HINT, &hint)), NUM(fcntl(fd, F_GET_RW_HINT, &other)), NUM(other);
}
