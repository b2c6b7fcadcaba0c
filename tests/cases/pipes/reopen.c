// A pipe opened anew by /proc/self/fd: either side, without waiting for the other, and both at once.
#include "../case.h"
int main(void) {
    int p[2];
    MUST(pipe(p));
    write(p[1], "left behind", 11);
    char path[64], b[16] = "";
    sprintf(path, "/proc/self/fd/%d", p[0]);
    close(p[1]);
    int again = TRY(open(path, O_RDONLY));
    NUM(read(again, b, 4));
    NUM(read(p[0], b, 16));
    say("%s", b);
    NUM(read(again, b, 16));
    int write_end = TRY(open(path, O_WRONLY | O_NONBLOCK));
    NUM(write(write_end, "x", 1)), NUM(read(p[0], b, 1));
    struct pollfd w = {p[0], POLLIN};
    NUM(poll(&w, 1, 0));
    close(write_end);
    NUM(poll(&w, 1, 0));
    int both = TRY(open(path, O_RDWR));
    NUM(write(both, "y", 1)), NUM(read(both, b, 1));
    close(again), close(p[0]);
    NUM(write(both, "z", 1)), NUM(read(both, b, 1));
}
