// Two processes and then two threads hand a byte back and forth; nothing is lost.
#include "../case.h"
static int a[2], b[2];
static void *echo(void *arg) {
    char c;
    for (int i = 0; i < 3000; i++) {
        MUST(read(a[0], &c, 1));
        c++;
        MUST(write(b[1], &c, 1));
    }
    return NULL;
}
static int drive(void) {
    int bad = 0;
    char c = 0;
    for (int i = 0; i < 3000; i++) {
        c = i;
        MUST(write(a[1], &c, 1));
        MUST(read(b[0], &c, 1));
        bad += c != (char)(i + 1);
    }
    return bad;
}
int main(void) {
    MUST(pipe(a)), MUST(pipe(b));
    pid_t pid = MUST(fork());
    if (!pid) {
        echo(NULL);
        _exit(0);
    }
    NUM(drive());
    reap("echo", pid);
    pthread_t t;
    pthread_create(&t, NULL, echo, NULL);
    NUM(drive());
    pthread_join(t, NULL);
}
