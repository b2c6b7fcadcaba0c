// Ends kept over execve go on with the same data.
#include "../case.h"
int main(int argc, char **argv) {
    if (argc > 1) {
        char b[16] = "";
        NUM(read(atoi(argv[1]), b, 16));
        say("%s", b);
        NUM(read(atoi(argv[1]), b, 16));
        return 0;
    }
    int p[2];
    MUST(pipe(p));
    write(p[1], "kept", 4);
    fcntl(p[1], F_SETFD, FD_CLOEXEC);
    char text[16];
    sprintf(text, "%d", p[0]);
    execl("/proc/self/exe", "x", text, NULL);
}
