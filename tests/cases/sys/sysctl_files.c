// /proc/sys: the values that programs read.
#include "../case.h"
int main(void) {
    const char *paths[] = {"kernel/pid_max", "kernel/threads-max", "kernel/ngroups_max", "kernel/cap_last_cap", "kernel/shmmax", "kernel/msgmax", "kernel/sem", "kernel/randomize_va_space", "fs/file-max", "fs/nr_open", "fs/pipe-max-size", "fs/inotify/max_user_watches", "vm/overcommit_memory", "vm/max_map_count", "vm/mmap_min_addr", "net/core/somaxconn", "net/ipv4/ip_local_port_range", "net/ipv4/tcp_keepalive_time", "kernel/core_pattern", "kernel/yama/ptrace_scope"};
    for (int i = 0; i < 18; i++) {
        char path[200];
        sprintf(path, "/proc/sys/%s", paths[i]);
        char *text = get(path);
        say("%s: %s", paths[i], isdigit(text[0]) && text[strlen(text) - 1] == '\n' ? "a number" : "missing");
    }
    say("%s", get("/proc/sys/kernel/ngroups_max"));
    say("%s", get("/proc/sys/net/core/somaxconn"));
    NUM(open("/proc/sys/kernel/nothing", O_RDONLY));
    IS(atoi(get("/proc/sys/kernel/cap_last_cap")) >= 37);
}
