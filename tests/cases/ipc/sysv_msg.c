// System V message queues: types, sizes, selection, full queues, removal.
#include "../case.h"
#include <sys/ipc.h>
#include <sys/msg.h>
struct message {
    long type;
    char text[100];
};
int main(void) {
    int id = TRY(msgget(IPC_PRIVATE, IPC_CREAT | 0600));
    struct message m = {5, "five"}, r;
    NUM(msgsnd(id, &m, 5, 0));
    m = (struct message){2, "two"};
    NUM(msgsnd(id, &m, 4, 0));
    m = (struct message){5, "again"};
    NUM(msgsnd(id, &m, 6, 0));
    NUM(msgrcv(id, &r, 100, 2, 0));
    say("%ld %s", r.type, r.text);
    NUM(msgrcv(id, &r, 2, 5, 0)), NUM(msgrcv(id, &r, 2, 5, MSG_NOERROR));
    say("%.2s", r.text);
    NUM(msgrcv(id, &r, 100, 3, IPC_NOWAIT));
    m = (struct message){9, "nine"}, msgsnd(id, &m, 5, 0);
    NUM(msgrcv(id, &r, 100, -6, 0));
    say("%ld", r.type);
    m = (struct message){4, "four"}, msgsnd(id, &m, 5, 0);
    NUM(msgrcv(id, &r, 100, 9, MSG_EXCEPT));
    say("%ld", r.type);
    NUM(msgrcv(id, &r, 100, 0, 0));
    m.type = 0;
    NUM(msgsnd(id, &m, 5, 0)), NUM(msgsnd(id, &m, -1, 0));
    struct msqid_ds d;
    NUM(msgctl(id, IPC_STAT, &d));
    say("%ld messages, %d", (long)d.msg_qnum, d.msg_lspid == getpid());
    d.msg_qbytes = 300;
    NUM(msgctl(id, IPC_SET, &d));
    m.type = 1;
    int n = 0;
    while (msgsnd(id, &m, 100, IPC_NOWAIT) == 0)
        n++;
    say("%d, then %s", n, errname(errno));
    pid_t pid = MUST(fork());
    if (!pid)
        _exit(msgsnd(id, &m, 100, 0) ? errno : 0);
    wait_asleep(pid);
    NUM(msgrcv(id, &r, 100, 0, 0));
    reap("sender", pid);
    while (msgrcv(id, &r, 100, 0, IPC_NOWAIT) >= 0)
        ;
    pid = MUST(fork());
    if (!pid)
        _exit(msgrcv(id, &r, 100, 0, 0) < 0 ? errno == EIDRM ? 1 : 2 : 0);
    wait_asleep(pid);
    NUM(msgctl(id, IPC_RMID, NULL));
    reap("receiver", pid);
    NUM(msgsnd(id, &m, 5, 0));
}
