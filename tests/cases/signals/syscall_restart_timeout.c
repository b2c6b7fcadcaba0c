// A restarted system call keeps its arguments and result registers; many interrupted writes lose no byte.
#include "../case.h"
static volatile sig_atomic_t count;
static void handler(int sig) { count++; }
int main(void) {
    struct sigaction a = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &a, NULL);
    int p[2];
    MUST(pipe(p));
    pid_t pid = MUST(fork());
    if (!pid) {
        close(p[1]);
        long sum = 0, total = 0;
        unsigned char buffer[5000];
        for (ssize_t n; (n = read(p[0], buffer, sizeof buffer)) > 0; total += n) {
            for (int i = 0; i < n; i++)
                sum += buffer[i];
            if (total % 7 == 0)
                nap(1);
        }
        say("total %ld sum %ld", total, sum);
        _exit(0);
    }
    close(p[0]);
    struct itimerval t = {{0, 500}, {0, 500}};
    setitimer(ITIMER_REAL, &t, NULL);
    static unsigned char data[1 << 20];
    for (int i = 0; i < 1 << 20; i++)
        data[i] = i * 31;
    size_t done = 0;
    while (done < sizeof data)
        done += MUST(write(p[1], data + done, sizeof data - done));
    close(p[1]);
    reap("reader", pid);
    IS(count > 0);
}
