// /proc/self, thread-self, cwd, root, exe of this and another process.
#include "../case.h"
int main(void) {
    const char *base = scratch();
    char text[4096], want[64];
    sprintf(want, "%d", getpid());
    text[MUST(readlink("/proc/self", text, 4095))] = 0;
    IS(!strcmp(text, want));
    sprintf(want, "%d/task/%d", getpid(), gettid());
    text[MUST(readlink("/proc/thread-self", text, 4095))] = 0;
    IS(!strcmp(text, want));
    text[MUST(readlink("/proc/self/cwd", text, 4095))] = 0;
    IS(!strcmp(text, base));
    text[MUST(readlink("/proc/self/root", text, 4095))] = 0;
    say("%s", text);
    put("f", "through cwd");
    say("%s", get("/proc/self/cwd/f"));
    IS(access("/proc/self/root/proc/self/stat", R_OK) == 0);
    pid_t pid = MUST(fork());
    if (!pid) {
        MUST(mkdir("sub", 0755)), MUST(chdir("sub"));
        for (;;)
            pause();
    }
    for (int i = 0; i < 1000 && access("sub", F_OK); i++)
        nap(1);
    nap(10);
    sprintf(want, "/proc/%d/cwd", pid);
    text[MUST(readlink(want, text, 4095))] = 0;
    say("%s", text + strlen(base));
    char own[4096], other[4096];
    own[MUST(readlink("/proc/self/exe", own, 4095))] = 0;
    sprintf(want, "/proc/%d/exe", pid);
    other[MUST(readlink(want, other, 4095))] = 0;
    IS(!strcmp(own, other));
    kill(pid, SIGKILL), waitpid(pid, NULL, 0);
    NUM(readlink(want, other, 4095));
    NUM(open("/proc/99999999/stat", O_RDONLY)), NUM(open("/proc/0/stat", O_RDONLY)), NUM(open("/proc/self/nothing", O_RDONLY)), NUM(mkdir("/proc/x", 0755));
    struct stat s;
    NUM(lstat("/proc/self", &s));
    IS(S_ISLNK(s.st_mode));
}
