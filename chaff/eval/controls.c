/* Planted real bugs, the positive control of the evaluation's attacks: each is entered with one number that an attacker
 * chooses, and gives up the return address, a function pointer or a write to a place of the attacker's choice. Built as a
 * program it takes a bug's number and the attacker's value from the input; bug 90 is an assertion, 91 a null pointer. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define BUG __attribute__((noinline, used)) void
static volatile uint64_t sink;
static unsigned char table[64];
BUG bug0(uint64_t v) { volatile char a[16]; a[v & 255] = (char)v; sink = a[0]; }
BUG bug1(uint64_t v) { volatile int a[8]; a[v & 127] = (int)v; sink = (uint64_t)a[1]; }
BUG bug2(uint64_t v) { char a[24]; memset(a, (int)v, v & 511); sink = (uint64_t)a[2]; }
BUG bug3(uint64_t v) { volatile char a[12]; for (uint64_t i = 0; i < (v & 127); i++) a[i] = (char)(v + i); sink = (uint64_t)a[3]; }
BUG bug4(uint64_t v) { volatile uint64_t a[4]; if (v - 1000 < 4096) a[(v - 1000) >> 5 & 63] = v; sink = a[1]; }
BUG bug5(uint64_t v) { *(volatile char *)v = 1; }
BUG bug6(uint64_t v) { *(volatile uint64_t *)(v + 64) = v; }
BUG bug7(uint64_t v) { volatile char a[32]; if (v >= 1000) ((volatile char *)a)[v * 8] = 1; sink = (uint64_t)a[1]; }
BUG bug8(uint64_t v) { ((void (*)(uint64_t))v)(1); }
BUG bug9(uint64_t v) { if ((v & 0xffff) - 5 < 100) ((void (*)(uint64_t))(v >> 16))(1); }
BUG bug10(uint64_t v) { ((void (*)(uint64_t)) * (uint64_t *)(v << 4))(1); }
BUG bug11(uint64_t v) { **(uint64_t **)(v * 24 + 8) = v; }
BUG bug12(uint64_t v) { table[(int)v] = 7; }
BUG bug13(uint64_t v) { volatile char *p = malloc(16); if (!p) return; p[v & 4095] = 1; sink = (uint64_t)p[0]; free((void *)p); }
BUG bug14(uint64_t v) { char *p = malloc(24); if (!p) return; memset(p, 1, v & 1023); sink = (uint64_t)p[1]; free(p); }
BUG bug15(uint64_t v) { volatile char a[64]; a[(int64_t)(int32_t)v] = 3; sink = (uint64_t)a[0]; }
__attribute__((noinline)) static void inner(volatile char *a, uint64_t v) { a[v & 1023] = 9; }
BUG bug16(uint64_t v) { volatile char a[40]; if (v >> 32 == 77) inner(a, v); sink = (uint64_t)a[5]; }
BUG bug17(uint64_t v) { *(volatile uint32_t *)((uint64_t)table + (v << 20)) = 5; }
BUG bug90(uint64_t v) { if (v != 1) abort(); }
BUG bug91(uint64_t v) { *(volatile int *)(v & 0xff) = 1; }
#define ALL(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(90) X(91)
int main(int argc, char **argv) {
    unsigned char in[9] = { 0 };
    FILE *file = argc > 1 ? fopen(argv[1], "rb") : stdin;
    if (!file || fread(in, 1, 9, file) != 9) return 2;
    uint64_t v;
    memcpy(&v, in + 1, 8);
    switch (in[0]) {
#define CASE(n) case n: bug##n(v); break;
        ALL(CASE)
    }
    return 0;
}
