// The first process itself jumps into the gate, after it left children that ignore every signal.
#include "hostile.h"
int main(int argc, char **argv) {
    ignore_all();
    for (int i = 0; i < 4; i++)
        if (!fork()) {
            setsid();
            for (;;)
                if (i % 2)
                    pause();
        }
    write(1, "ready\n", 6);
    if (!strcmp(argv[1], "stay"))
        stay();
    __asm__ volatile("jmp *%0" ::"r"(0x7e0005000000UL), "a"(57L), "D"(0L), "S"(0L), "d"(0L));
}
