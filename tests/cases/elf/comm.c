// The task name is the program's file name cut to 15 bytes; prctl and /proc change and show it.
#include "../case.h"
#include <sys/prctl.h>
int main(int argc, char **argv) {
    char name[17] = {0};
    scratch();
    if (argc == 1) {
        char self[4096] = "";
        MUST(readlink("/proc/self/exe", self, sizeof self - 1));
        MUST(symlink(self, "a-rather-long-program-name"));
        execl("a-rather-long-program-name", "other", "second", NULL);
        return 9;
    }
    NUM(prctl(PR_GET_NAME, name));
    say("%s", name);
    say("%s", get("/proc/self/comm"));
    NUM(prctl(PR_SET_NAME, "0123456789abcdefXYZ"));
    say("%s", get("/proc/self/comm"));
    int fd = MUST(open("/proc/self/comm", O_WRONLY));
    NUM(write(fd, "written", 7));
    NUM(prctl(PR_GET_NAME, name));
    say("%s", name);
    NUM(prctl(PR_GET_NAME, (void *)8));
}
