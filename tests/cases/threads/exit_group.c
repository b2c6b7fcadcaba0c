// exit in any thread ends all, with its status; nothing after it is printed.
#include "../case.h"
static void *sleeper(void *arg) {
    pause();
    say("not reached");
    return NULL;
}
static void *spinner(void *arg) {
    for (;;)
        ;
}
static void *ender(void *arg) {
    nap(10);
    exit(23);
}
int main(void) {
    pid_t pid = MUST(fork());
    if (!pid) {
        pthread_t t;
        pthread_create(&t, NULL, sleeper, NULL);
        pthread_create(&t, NULL, spinner, NULL);
        pthread_create(&t, NULL, ender, NULL);
        pthread_join(t, NULL);
        say("not reached");
    }
    reap("child", pid);
}
