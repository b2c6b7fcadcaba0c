// getcontext, makecontext and swapcontext switch stacks within a thread.
#include "../case.h"
#include <ucontext.h>
static ucontext_t main_context, a, b;
static int steps[8], n;
static void fa(int x) {
    steps[n++] = x;
    swapcontext(&a, &b);
    steps[n++] = x + 1;
}
static void fb(int x) {
    steps[n++] = x;
    swapcontext(&b, &a);
    steps[n++] = x + 1;
}
int main(void) {
    static char stack_a[65536], stack_b[65536];
    getcontext(&a);
    a.uc_stack.ss_sp = stack_a, a.uc_stack.ss_size = sizeof stack_a, a.uc_link = &b;
    makecontext(&a, (void (*)(void))fa, 1, 10);
    getcontext(&b);
    b.uc_stack.ss_sp = stack_b, b.uc_stack.ss_size = sizeof stack_b, b.uc_link = &main_context;
    makecontext(&b, (void (*)(void))fb, 1, 20);
    MUST(swapcontext(&main_context, &a));
    for (int i = 0; i < n; i++)
        NUM(steps[i]);
}
