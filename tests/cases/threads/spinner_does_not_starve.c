// Threads that spin without a system call do not keep others from running.
#include "../case.h"
static _Atomic int stop;
static void *spin(void *arg) {
    while (!stop)
        __builtin_ia32_pause();
    return NULL;
}
static void *later(void *arg) {
    for (int i = 0; i < 5; i++)
        nap(2);
    stop = 1;
    return NULL;
}
int main(void) {
    pthread_t t[5];
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, spin, NULL);
    pthread_create(&t[4], NULL, later, NULL);
    for (int i = 0; i < 5; i++)
        pthread_join(t[i], NULL);
    say("all ended");
}
