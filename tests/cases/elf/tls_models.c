// Thread-local storage with alignment, initial values and zero parts, in the program and by dlopen's static part.
#include "../case.h"
static __thread int initialised = 77;
static __thread char aligned[100] __attribute__((aligned(256)));
static __thread long zeros[500];
static void *check(void *arg) {
    long bad = initialised != 77 || (uintptr_t)aligned % 256;
    for (int i = 0; i < 500; i++)
        bad += zeros[i] != 0;
    initialised = 1, zeros[499] = 5;
    return (void *)bad;
}
int main(void) {
    NUM((long)check(NULL));
    for (int i = 0; i < 3; i++) {
        pthread_t t;
        void *r;
        pthread_create(&t, NULL, check, NULL);
        pthread_join(t, &r);
        NUM((long)r);
    }
    NUM(initialised), NUM(zeros[499]);
    pid_t pid = MUST(fork());
    if (!pid)
        _exit(initialised + zeros[499]);
    reap("child", pid);
}
