// Calls that do not exist are ENOSYS, whatever the number; legacy ones too.
#include "../case.h"
int main(void) {
    long numbers[] = {387, 400, 423, 500, 999, 5000, 100000, -1, -100, 0x40000000, 1L << 40};
    for (int i = 0; i < 11; i++)
        say("%ld: %s", numbers[i], syscall(numbers[i], 0, 0, 0, 0, 0, 0) == -1 ? errname(errno) : "?");
    long legacy[] = {SYS_create_module, SYS_get_kernel_syms, SYS_query_module, SYS_nfsservctl, SYS_getpmsg, SYS_putpmsg, SYS_afs_syscall, SYS_tuxcall, SYS_security, SYS_epoll_ctl_old, SYS_vserver, SYS_uselib};
    for (int i = 0; i < 12; i++)
        say("%ld: %s", legacy[i], syscall(legacy[i], 0, 0, 0) == -1 ? errname(errno) : "?");
}
