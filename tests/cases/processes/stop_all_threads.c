// SIGSTOP stops every thread of a process, SIGCONT resumes all, SIGKILL ends a stopped process.
#include "../case.h"
static _Atomic int *ticks;
static void *work(void *arg) {
    for (;;)
        ticks[(long)arg]++;
}
static int moving(void) {
    int a[3], moved = 0;
    for (int i = 0; i < 3; i++)
        a[i] = ticks[i];
    nap(150);
    for (int i = 0; i < 3; i++)
        moved += ticks[i] != a[i];
    return moved;
}
int main(void) {
    ticks = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pid_t pid = MUST(fork());
    if (!pid) {
        for (long i = 1; i < 3; i++) {
            pthread_t t;
            pthread_create(&t, NULL, work, (void *)i);
        }
        work(0);
    }
    while (!ticks[0] || !ticks[1] || !ticks[2])
        nap(1);
    NUM(kill(pid, SIGSTOP));
    int status;
    waitpid(pid, &status, WUNTRACED);
    say_status("child", status);
    NUM(moving());
    say("state %c", state_of(pid));
    NUM(kill(pid, SIGCONT));
    waitpid(pid, &status, WCONTINUED);
    int moved = 0;
    for (int i = 0; i < 50 && moved < 3; i++)
        moved = moving();
    NUM(moved);
    NUM(kill(pid, SIGSTOP));
    waitpid(pid, &status, WUNTRACED);
    NUM(kill(pid, SIGKILL));
    reap("child", pid);
}
