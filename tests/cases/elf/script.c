// Scripts run by their #! line: one argument after the interpreter, the script's path, then the caller's arguments.
#include "../case.h"
int main(int argc, char **argv) {
    if (argc > 1) {
        for (int i = 1; i < argc; i++)
            say("%d [%s]", i, strrchr(argv[i], '/') && i > 1 ? strrchr(argv[i], '/') : argv[i]);
        return 0;
    }
    char self[4096] = "", text[5000];
    MUST(readlink("/proc/self/exe", self, sizeof self - 1));
    scratch();
    const char *forms[] = {"#!%s one two  three \nrest\n", "#! %s\n", "#!%s -x", "#!\n", "#!   \n", "#!/no/such/interpreter\n"};
    for (int i = 0; i < 6; i++) {
        snprintf(text, sizeof text, forms[i], self);
        put("script", text);
        MUST(chmod("script", 0755));
        pid_t pid = MUST(fork());
        if (!pid) {
            char *args[] = {"lost", "caller's", NULL}, *env[] = {NULL};
            execve("./script", args, env);
            say("%s", errname(errno));
            _exit(1);
        }
        reap("script", pid);
    }
    // A script whose interpreter is a script: nesting is allowed, to a depth.
    snprintf(text, sizeof text, "#!%s inner\n", self);
    put("s0", text);
    chmod("s0", 0755);
    for (int i = 1; i <= 6; i++) {
        char name[8];
        snprintf(text, sizeof text, "#!./s%d\n", i - 1);
        snprintf(name, sizeof name, "s%d", i);
        put(name, text);
        chmod(name, 0755);
        pid_t pid = MUST(fork());
        if (!pid) {
            execl(name, name, NULL);
            say("depth %d: %s", i, errname(errno));
            _exit(1);
        }
        reap("nested", pid);
    }
}
