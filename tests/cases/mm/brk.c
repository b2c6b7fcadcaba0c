// The break moves up and down; freed memory reads zero when it comes back; a limit and a neighbour stop it.
#include "../case.h"
int main(void) {
    char *start = (char *)syscall(SYS_brk, 0);
    IS(start == sbrk(0));
    char *end = start + 10 * 4096;
    IS((char *)syscall(SYS_brk, end) == end);
    end[-1] = 7, start[0] = 8;
    IS((char *)syscall(SYS_brk, start + 4096) == start + 4096);
    IS((char *)syscall(SYS_brk, end) == end);
    say("%d %d", start[0], end[-1]);
    IS((char *)syscall(SYS_brk, start - (64 << 20)) == end);
    IS((char *)syscall(SYS_brk, end + 1) == end + 1);
    char *wall = (char *)(((uintptr_t)end + 40 * 4096) & ~4095UL);
    MUST(mmap(wall, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    IS((char *)syscall(SYS_brk, wall + 4096) == end + 1);
    IS((char *)syscall(SYS_brk, wall - 4096) == wall - 4096);
    struct rlimit limit = {1 << 20, 1 << 20};
    MUST(setrlimit(RLIMIT_DATA, &limit));
    MUST(munmap(wall, 4096));
    char *now = (char *)syscall(SYS_brk, 0);
    IS((char *)syscall(SYS_brk, now + (2 << 20)) == now);
    IS(strstr(get("/proc/self/maps"), "[heap]") != NULL);
}
