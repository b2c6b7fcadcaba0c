// POSIX message queues: priorities, limits, blocking, time-outs, notification, poll.
#include "../case.h"
#include <mqueue.h>
int main(void) {
    const char *name = "/husk-case-mq";
    mq_unlink(name);
    struct mq_attr a = {.mq_maxmsg = 3, .mq_msgsize = 16}, got;
    mqd_t q = TRY(mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &a));
    if (q == (mqd_t)-1)
        return 0;
    TRY(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &a));
    NUM(mq_send(q, "low", 4, 1)), NUM(mq_send(q, "high", 5, 9)), NUM(mq_send(q, "low two", 8, 1)), NUM(mq_send(q, "x", 1, 1));
    NUM(mq_getattr(q, &got));
    say("%ld %ld %ld %ld", got.mq_flags & O_NONBLOCK, got.mq_maxmsg, got.mq_msgsize, got.mq_curmsgs);
    char b[16];
    unsigned priority;
    NUM(mq_receive(q, b, 8, &priority));
    for (int i = 0; i < 3; i++) {
        NUM(mq_receive(q, b, 16, &priority));
        say("%s %u", b, priority);
    }
    NUM(mq_receive(q, b, 16, &priority)), NUM(mq_send(q, "0123456789abcdefg", 17, 0)), NUM(mq_send(q, "x", 1, 99999));
    struct pollfd w = {q, POLLIN | POLLOUT};
    NUM(poll(&w, 1, 0)), NUM(w.revents);
    a.mq_flags = 0;
    NUM(mq_setattr(q, &a, NULL));
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    NUM(mq_timedreceive(q, b, 16, NULL, &t));
    pid_t pid = MUST(fork());
    if (!pid) {
        nap(10);
        mq_send(q, "from the child", 15, 0);
        _exit(0);
    }
    NUM(mq_receive(q, b, 16, NULL));
    say("%s", b);
    reap("child", pid);
    mask(SIG_BLOCK, SIGUSR1);
    struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 4};
    NUM(mq_notify(q, &e)), NUM(mq_notify(q, &e)), NUM(mq_send(q, "note", 5, 0));
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGUSR1);
    siginfo_t info;
    struct timespec second = {1, 0};
    IS(sigtimedwait(&set, &info, &second) == SIGUSR1 && info.si_code == SI_MESGQ && info.si_value.sival_int == 4);
    NUM(mq_close(q)), NUM(mq_unlink(name)), NUM(mq_unlink(name));
    TRY(mq_open(name, O_RDWR));
    a.mq_maxmsg = 0;
    TRY(mq_open(name, O_RDWR | O_CREAT, 0600, &a));
}
