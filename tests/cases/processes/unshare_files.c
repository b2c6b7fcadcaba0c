// unshare(CLONE_FILES) and close_range with UNSHARE give a thread its own descriptors.
#include "../case.h"
static int p[2];
static void *work(void *arg) {
    NUM(unshare(CLONE_FILES));
    NUM(close(p[0]));
    NUM(unshare(CLONE_FS));
    NUM(chdir("/"));
    return NULL;
}
int main(void) {
    scratch();
    MUST(pipe(p));
    pthread_t t;
    pthread_create(&t, NULL, work, NULL);
    pthread_join(t, NULL);
    NUM(fcntl(p[0], F_GETFD));
    char cwd[500];
    getcwd(cwd, sizeof cwd);
    IS(strcmp(cwd, "/") != 0);
    NUM(unshare(0x1));
}
