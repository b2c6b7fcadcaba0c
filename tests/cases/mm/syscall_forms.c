// System calls in odd places: behind a prefix, at a page's end, jumped into, in a loop with all registers live.
#include "../case.h"
int main(void) {
    unsigned char *code = MUST(mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    memset(code, 0x90, 3 * 4096);
    MUST(mprotect(code + 8192, 4096, PROT_NONE));
    // At the very end of a page that is followed by a page of code, and by one that cannot be read.
    unsigned char head[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05};
    memcpy(code + 4096 - 7, head, 7);
    code[4096] = 0xc3;
    int bad = 0;
    for (int i = 0; i < 5; i++)
        bad += ((int (*)(void))(code + 4096 - 7))() != getpid();
    // mov; jmp to the syscall in the middle of other code.
    unsigned char jump[] = {0xb8, 39, 0, 0, 0, 0xeb, 0x02, 0x0f, 0x0b, 0x0f, 0x05, 0xc3};
    memcpy(code + 100, jump, sizeof jump);
    for (int i = 0; i < 5; i++)
        bad += ((int (*)(void))(code + 100))() != getpid();
    // A second entry right at the syscall with another number in the register.
    unsigned char entry[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3};
    memcpy(code + 200, entry, sizeof entry);
    for (int i = 0; i < 5; i++) {
        bad += ((int (*)(void))(code + 200))() != getpid();
        long r;
        __asm__ volatile("call *%1" : "=a"(r) : "r"(code + 205), "a"(110) : "rcx", "r11", "memory");
        bad += r != getppid();
    }
    NUM(bad);
    // Registers: only rax, rcx and r11 may change; rcx is the next address and r11 the flags.
    unsigned long in[13] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, rcx, r11, after;
    long changed = 0;
    for (int i = 0; i < 3; i++) {
        unsigned long rbx, rdx, rsi, rdi, r8, r9, r10, r12, r13, r14, r15;
        __asm__ volatile("mov $1,%%ebx; mov $2,%%edx; mov $3,%%esi; mov $4,%%edi; mov $5,%%r8d; mov $6,%%r9d; mov $7,%%r10d; mov $8,%%r12d; mov $9,%%r13d; mov $10,%%r14d; mov $11,%%r15d\n"
                         "mov $102, %%eax\n stc\n syscall\n1:\n"
                         "push %%rcx; push %%r11; push %%rbx; push %%rdx; push %%rsi; push %%rdi; push %%r8; push %%r9; push %%r10; push %%r12; push %%r13; push %%r14; push %%r15\n"
                         "lea 1b(%%rip), %%rax\n mov %%rax, %2\n"
                         "pop %%rax; mov %%rax, 96+%3; pop %%rax; mov %%rax, 88+%3; pop %%rax; mov %%rax, 80+%3; pop %%rax; mov %%rax, 72+%3; pop %%rax; mov %%rax, 64+%3; pop %%rax; mov %%rax, 56+%3; pop %%rax; mov %%rax, 48+%3; pop %%rax; mov %%rax, 40+%3; pop %%rax; mov %%rax, 32+%3; pop %%rax; mov %%rax, 24+%3; pop %%rax; mov %%rax, 16+%3\n"
                         "pop %%rax; mov %%rax, %1; pop %%rax; mov %%rax, %0"
                         : "=m"(rcx), "=m"(r11), "=m"(after), "=m"(in)
                         :
                         : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
        (void)rbx, (void)rdx, (void)rsi, (void)rdi, (void)r8, (void)r9, (void)r10, (void)r12, (void)r13, (void)r14, (void)r15;
        unsigned long want[11] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
        for (int j = 0; j < 11; j++)
            changed += in[2 + j] != want[j];
    }
    NUM(changed);
    IS(rcx == after);
    IS((r11 & 1) == 1);
}
