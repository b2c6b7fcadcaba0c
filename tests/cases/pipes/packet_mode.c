// O_DIRECT pipes keep packets apart and drop what a short read leaves.
#include "../case.h"
int main(void) {
    int p[2];
    MUST(pipe2(p, O_DIRECT | O_NONBLOCK));
    NUM(write(p[1], "first", 5)), NUM(write(p[1], "second", 6)), NUM(write(p[1], "third", 5));
    char b[5000] = "";
    NUM(read(p[0], b, 100));
    say("%.5s", b);
    NUM(read(p[0], b, 3));
    say("%.3s", b);
    NUM(read(p[0], b, 100));
    say("%.5s", b);
    NUM(read(p[0], b, 100));
    NUM(write(p[1], b, 5000));
    NUM(read(p[0], b, 5000)), NUM(read(p[0], b, 5000));
}
