// The process lives on when its main thread ends, until the last thread does; the exit status is then 0.
#include "../case.h"
static void *work(void *arg) {
    nap(30);
    say("the other thread still runs");
    IS(state_of(getpid()) == 'Z');
    return NULL;
}
int main(void) {
    pthread_t t;
    pthread_create(&t, NULL, work, NULL);
    pthread_detach(t);
    pthread_exit((void *)5);
}
