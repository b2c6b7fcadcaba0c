// /proc/self/status: the lines that programs parse.
#include "../case.h"
static char *field(const char *name) {
    static char line[200];
    char *at = get("/proc/self/status");
    size_t n = strlen(name);
    for (; *at; at = strchr(at, '\n') + 1)
        if (!strncmp(at, name, n) && at[n] == ':') {
            sscanf(at + n + 1, " %199[^\n]", line);
            return line;
        }
    return "missing";
}
int main(void) {
    IS(atoi(field("Pid")) == getpid()), IS(atoi(field("PPid")) == getppid()), IS(atoi(field("Tgid")) == getpid());
    say("%s", field("State")), say("%s", field("Threads")), say("%s", field("TracerPid")), say("%s", field("Uid")), say("%s", field("Gid"));
    umask(027);
    say("%s", field("Umask"));
    mask(SIG_BLOCK, SIGUSR1), mask(SIG_BLOCK, SIGRTMIN);
    signal(SIGHUP, SIG_IGN);
    on(SIGTERM, (void (*)(int))exit);
    raise(SIGUSR1);
    say("%s %s", field("SigBlk"), "blocked"), say("%s", field("SigIgn")), say("%s", field("SigPnd")), say("%s", field("ShdPnd"));
    kill(getpid(), SIGRTMIN);
    say("%s", field("ShdPnd"));
    unsigned long caught = strtoul(field("SigCgt"), NULL, 16);
    IS(caught & 1UL << (SIGTERM - 1));
    say("%s %s", field("NoNewPrivs"), field("Seccomp"));
    IS(strtoul(field("CapEff"), NULL, 16) != 0);
    IS(atol(field("VmRSS")) > 0 && atol(field("VmStk")) > 0 && atol(field("VmExe")) > 0 && atol(field("VmLib")) > 0);
    IS(strlen(field("Cpus_allowed_list")) > 0 && strlen(field("Cpus_allowed")) > 0);
    IS(atol(field("voluntary_ctxt_switches")) >= 0 && atol(field("FDSize")) >= 32);
}
