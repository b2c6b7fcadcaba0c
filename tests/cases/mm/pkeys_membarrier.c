// membarrier registration and commands; protection keys are refused or work, consistently.
#include "../case.h"
#include <linux/membarrier.h>
int main(void) {
    long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    IS(commands >= 0 && (commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED));
    NUM(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
    NUM(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
    NUM(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
    NUM(syscall(SYS_membarrier, 12345, 0, 0));
    NUM(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 5, 0));
}
