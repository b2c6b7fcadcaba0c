// A server process with several clients at once, each with its own conversation.
#include "../case.h"
int main(void) {
    scratch();
    struct sockaddr_un un = {AF_UNIX, "s"};
    int l = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    MUST(bind(l, (void *)&un, sizeof un)), MUST(listen(l, 20));
    pid_t server = MUST(fork());
    if (!server) {
        for (int i = 0; i < 10; i++) {
            int a = MUST(accept(l, NULL, NULL));
            if (!fork()) {
                char c;
                int sum = 0;
                while (read(a, &c, 1) == 1 && c != '\n')
                    sum += c - '0';
                dprintf(a, "%d", sum);
                _exit(0);
            }
            close(a);
        }
        while (wait(NULL) > 0)
            ;
        _exit(0);
    }
    pid_t pids[10];
    for (int i = 0; i < 10; i++) {
        pids[i] = MUST(fork());
        if (!pids[i]) {
            int c = MUST(socket(AF_UNIX, SOCK_STREAM, 0)), want = 0;
            MUST(connect(c, (void *)&un, sizeof un));
            for (int j = 0; j < 200; j++) {
                char d = '0' + (i + j) % 10;
                want += d - '0';
                MUST(write(c, &d, 1));
            }
            write(c, "\n", 1);
            char b[16] = "";
            read(c, b, 15);
            _exit(atoi(b) == want ? 0 : 1);
        }
    }
    for (int i = 0; i < 10; i++)
        reap("client", pids[i]);
    reap("server", server);
}
