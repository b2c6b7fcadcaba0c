// The alternate stack: used with SA_ONSTACK only, reported, not changeable while in use, with a least size.
#include "../case.h"
static char area[65536], *low = area, *high = area + sizeof area;
static volatile sig_atomic_t where;
static void handler(int sig) {
    char local;
    where = &local >= low && &local < high;
    stack_t s, now;
    sigaltstack(NULL, &now);
    say("flags in the handler: %d", now.ss_flags);
    s.ss_sp = area, s.ss_size = sizeof area, s.ss_flags = 0;
    NUM(sigaltstack(&s, NULL));
    if (sig == SIGUSR1)
        raise(SIGUSR2);
}
int main(void) {
    stack_t s = {.ss_sp = area, .ss_size = sizeof area}, old;
    NUM(sigaltstack(&s, &old));
    NUM(old.ss_flags);
    struct sigaction a = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &a, NULL);
    sigaction(SIGUSR2, &a, NULL);
    raise(SIGUSR1);
    NUM(where);
    a.sa_flags = 0;
    sigaction(SIGUSR2, &a, NULL);
    raise(SIGUSR2);
    NUM(where);
    NUM(sigaltstack(NULL, &old));
    IS(old.ss_sp == area && old.ss_size == sizeof area && old.ss_flags == 0);
    s.ss_size = 100;
    NUM(sigaltstack(&s, NULL));
    s.ss_size = sizeof area, s.ss_flags = 8;
    NUM(sigaltstack(&s, NULL));
    s.ss_flags = SS_DISABLE;
    NUM(sigaltstack(&s, NULL));
    NUM(sigaltstack(NULL, &old));
    NUM(old.ss_flags);
    NUM(sigaltstack((void *)8, NULL));
    s.ss_flags = (int)(1u << 31), s.ss_size = sizeof area;
    NUM(sigaltstack(&s, NULL));
    a.sa_flags = SA_ONSTACK;
    sigaction(SIGUSR2, &a, NULL);
    raise(SIGUSR2);
    NUM(where);
}
