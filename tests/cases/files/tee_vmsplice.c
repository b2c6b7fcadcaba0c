// tee duplicates without consuming; vmsplice puts user memory into a pipe and out of it.
#include "../case.h"
int main(void) {
    int a[2], b[2];
    MUST(pipe(a)), MUST(pipe(b));
    write(a[1], "hello", 5), write(a[1], " world", 6);
    NUM(tee(a[0], b[1], 8, 0));
    char text[32] = "";
    NUM(read(b[0], text, 31));
    say("%s", text);
    memset(text, 0, 32);
    NUM(read(a[0], text, 31));
    say("%s", text);
    NUM(tee(a[0], b[1], 8, SPLICE_F_NONBLOCK));
    NUM(tee(a[0], a[1], 8, 0));
    char one[] = "first ", two[] = "second";
    struct iovec v[2] = {{one, 6}, {two, 6}};
    NUM(vmsplice(a[1], v, 2, 0));
    memset(text, 0, 32);
    NUM(read(a[0], text, 31));
    say("%s", text);
    write(a[1], "data", 4);
    memset(text, 0, 32);
    v[0] = (struct iovec){text, 31};
    NUM(vmsplice(a[0], v, 1, 0));
    say("%s", text);
    NUM(vmsplice(0, v, 1, 0) < 0);
}
