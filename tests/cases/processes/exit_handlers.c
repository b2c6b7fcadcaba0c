// exit runs atexit handlers and flushes; _exit does neither; quick_exit runs its own.
#include "../case.h"
static void a(void) { say("handler a"); }
static void b(void) { say("handler b"); }
int main(void) {
    for (int i = 0; i < 3; i++) {
        pid_t pid = MUST(fork());
        if (!pid) {
            atexit(a);
            atexit(b);
            at_quick_exit(b);
            printf("buffered\n");
            if (i == 0)
                exit(1);
            if (i == 1)
                quick_exit(2);
            _exit(3);
        }
        reap("child", pid);
    }
}
