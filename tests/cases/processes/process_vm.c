// One process reads and writes another's memory; reach is bounded by what is mapped.
#include "../case.h"
static char area[8192] __attribute__((aligned(4096))) = "the child's own text";
int main(void) {
    int p[2];
    MUST(pipe(p));
    pid_t pid = MUST(fork());
    if (!pid) {
        strcpy(area, "changed after the fork");
        write(p[1], "r", 1);
        while (strcmp(area, "written by the parent"))
            nap(1);
        _exit(6);
    }
    char c, got[64] = "";
    read(p[0], &c, 1);
    struct iovec local = {got, 23}, remote = {area, 23};
    NUM(process_vm_readv(pid, &local, 1, &remote, 1, 0));
    say("%s", got);
    struct iovec two[2] = {{got, 7}, {got + 20, 10}};
    NUM(process_vm_readv(pid, two, 2, &remote, 1, 0));
    remote.iov_base = (void *)8;
    NUM(process_vm_readv(pid, &local, 1, &remote, 1, 0));
    NUM(process_vm_readv(pid, &local, 1, &remote, 1, 1));
    NUM(process_vm_readv(0x3fffffff, &local, 1, &remote, 1, 0));
    char path[64];
    sprintf(path, "/proc/%d/mem", pid);
    int fd = TRY(open(path, O_RDWR));
    NUM(pread(fd, got, 8, (off_t)area));
    say("%.8s", got);
    NUM(pread(fd, got, 8, 8));
    strcpy(got, "written by the parent");
    local = (struct iovec){got, 22}, remote = (struct iovec){area, 22};
    NUM(process_vm_writev(pid, &local, 1, &remote, 1, 0));
    reap("child", pid);
}
