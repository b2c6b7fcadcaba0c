// uname, hostname and domain name agree with /proc/sys/kernel.
#include "../case.h"
#include <sys/utsname.h>
int main(void) {
    struct utsname u;
    NUM(uname(&u));
    say("%s %s", u.sysname, u.machine);
    int major = 0, minor = 0;
    IS(sscanf(u.release, "%d.%d", &major, &minor) == 2 && major >= 5);
    IS(strlen(u.version) > 0);
    char name[256], path[300];
    NUM(gethostname(name, sizeof name));
    IS(!strcmp(name, u.nodename));
    sprintf(path, "%s\n", u.nodename);
    IS(!strcmp(get("/proc/sys/kernel/hostname"), path));
    sprintf(path, "%s\n", u.release);
    IS(!strcmp(get("/proc/sys/kernel/osrelease"), path));
    say("%s", get("/proc/sys/kernel/ostype"));
    NUM(gethostname(name, 0));
    if (setuid(1000))
        return 9;
    NUM(sethostname("x", 1));
}
