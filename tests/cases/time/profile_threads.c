// The signals of timers that count the processor time of the process come to the thread that uses it, not to one that
// sleeps: this is how profilers learn where it goes.
#include "../case.h"
static pid_t sleeper;
static _Atomic int at_sleeper, at_spinner;
static void handler(int sig) {
    if (gettid() == sleeper)
        at_sleeper++;
    else
        at_spinner++;
}
static void *spin(void *unused) {
    int64_t start = now_ms();
    while (at_spinner < 10 && now_ms() - start < 20000)
        ;
    return unused;
}
static void measure(const char *what) {
    pthread_t thread;
    at_sleeper = at_spinner = 0;
    pthread_create(&thread, NULL, spin, NULL);
    pthread_join(thread, NULL);
    // The sleeper works a little, too, when it makes the other and ends.
    say("%s: %s", what, at_spinner >= 10 && at_sleeper < 5 ? "the spinner" : "not the spinner");
}
int main(void) {
    sleeper = gettid();
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(SIGPROF, &action, NULL), sigaction(SIGVTALRM, &action, NULL), sigaction(SIGUSR1, &action, NULL);
    struct itimerval every = {{0, 4000}, {0, 4000}}, never = {0};
    setitimer(ITIMER_PROF, &every, NULL);
    measure("ITIMER_PROF");
    setitimer(ITIMER_PROF, &never, NULL);
    setitimer(ITIMER_VIRTUAL, &every, NULL);
    measure("ITIMER_VIRTUAL");
    setitimer(ITIMER_VIRTUAL, &never, NULL);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    timer_t timer;
    MUST(timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer));
    struct itimerspec each = {{0, 4000000}, {0, 4000000}};
    timer_settime(timer, 0, &each, NULL);
    measure("timer_create");
}
