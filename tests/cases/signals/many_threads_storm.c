// Signals sent at random to several threads are all handled; none is lost of the real-time ones.
#include "../case.h"
static _Atomic int handled, stop, ready;
static void handler(int sig) { handled++; }
static void *work(void *arg) {
    ready++;
    while (!stop)
        for (volatile int i = 0; i < 1000; i++)
            ;
    return NULL;
}
int main(void) {
    struct sigaction a = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(SIGRTMIN + 4, &a, NULL);
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, work, NULL);
    while (ready < 4)
        sched_yield();
    int sent = 0;
    for (int i = 0; i < 400; i++)
        sent += pthread_kill(t[i % 4], SIGRTMIN + 4) == 0;
    for (int i = 0; i < 5000 && handled < sent; i++)
        nap(1);
    IS(handled == sent);
    stop = 1;
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    NUM(sent);
}
