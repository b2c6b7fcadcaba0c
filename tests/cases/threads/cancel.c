// Cancellation ends a thread at a cancellation point and runs its clean-up handlers.
#include "../case.h"
static int order;
static void clean(void *arg) {
    order = order * 10 + (long)arg;
}
static int ends[2];
static void *reader(void *arg) {
    char c;
    pthread_cleanup_push(clean, (void *)1);
    pthread_cleanup_push(clean, (void *)2);
    read(ends[0], &c, 1);
    say("not reached");
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return NULL;
}
static void *deaf(void *arg) {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    nap(20);
    pthread_testcancel();
    return (void *)7;
}
static void *spinning(void *arg) {
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    for (;;)
        ;
}
int main(void) {
    MUST(pipe(ends));
    void *(*works[])(void *) = {reader, deaf, spinning};
    for (int i = 0; i < 3; i++) {
        pthread_t t;
        void *value;
        pthread_create(&t, NULL, works[i], NULL);
        nap(5);
        ERR(pthread_cancel(t));
        ERR(pthread_join(t, &value));
        say("%s", value == PTHREAD_CANCELED ? "cancelled" : value == (void *)7 ? "seven" : "other");
        NUM(order);
    }
}
