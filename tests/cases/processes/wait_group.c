// wait by process group, for any, and only for children.
#include "../case.h"
int main(void) {
    pid_t a = MUST(fork());
    if (!a)
        _exit(1);
    pid_t b = MUST(fork());
    if (!b) {
        pause();
        _exit(2);
    }
    MUST(setpgid(b, b));
    int status;
    IS(waitpid(0, &status, 0) == a);
    say_status("own group", status);
    NUM(waitpid(0, &status, WNOHANG));
    NUM(waitpid(-b, &status, WNOHANG));
    kill(-b, SIGTERM);
    IS(waitpid(-b, &status, 0) == b);
    say_status("its group", status);
    NUM(waitpid(getppid(), &status, 0));
    NUM(waitpid(-0x3fffffff, &status, 0));
    NUM(waitpid(INT_MIN, &status, 0));
}
