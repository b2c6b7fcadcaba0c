// Message queues between processes: many messages from several senders all arrive, highest first.
#include "../case.h"
#include <mqueue.h>
int main(void) {
    const char *name = "/husk-case-mq-many";
    mq_unlink(name);
    struct mq_attr a = {.mq_maxmsg = 5, .mq_msgsize = 8};
    mqd_t q = mq_open(name, O_RDWR | O_CREAT, 0600, &a);
    if (q == (mqd_t)-1) {
        say("%s", errname(errno));
        return 0;
    }
    for (int i = 0; i < 3; i++)
        if (!MUST(fork())) {
            mqd_t own = mq_open(name, O_WRONLY);
            for (int j = 0; j < 50; j++)
                mq_send(own, "message", 8, i);
            _exit(0);
        }
    int counts[3] = {0};
    for (int i = 0; i < 150; i++) {
        char b[8];
        unsigned priority = 9;
        if (mq_receive(q, b, 8, &priority) == 8 && priority < 3)
            counts[priority]++;
    }
    say("%d %d %d", counts[0], counts[1], counts[2]);
    while (wait(NULL) > 0)
        ;
    mq_unlink(name);
}
