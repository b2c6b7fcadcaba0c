// A program linked at a fixed address runs there.
//= flags -no-pie -fno-pie
#include "../case.h"
static int value = 3;
int main(void) {
    IS((uintptr_t)&value < 0x1000000);
    IS((uintptr_t)main >= 0x400000 && (uintptr_t)main < 0x500000);
    extern char _end;
    IS((uintptr_t)sbrk(0) >= (uintptr_t)&_end);
    IS((uintptr_t)malloc(100) > (uintptr_t)&_end);
}
