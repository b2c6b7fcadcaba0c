// Names that need no network: numbers, localhost by /etc/hosts, services, errors.
#include "../case.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
int main(void) {
    struct addrinfo hint = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list;
    char text[64];
    int e = getaddrinfo("127.0.0.1", "8080", &hint, &list);
    NUM(e);
    if (!e) {
        struct sockaddr_in *in = (void *)list->ai_addr;
        say("%s %d", inet_ntop(AF_INET, &in->sin_addr, text, 64), ntohs(in->sin_port));
    }
    hint.ai_flags = AI_NUMERICHOST;
    NUM(getaddrinfo("not-a-number", "1", &hint, &list) == EAI_NONAME);
    hint.ai_flags = AI_PASSIVE;
    e = getaddrinfo(NULL, "80", &hint, &list);
    NUM(e);
    if (!e)
        say("%s", inet_ntop(AF_INET, &((struct sockaddr_in *)list->ai_addr)->sin_addr, text, 64));
    char name[256];
    NUM(gethostname(name, sizeof name));
    IS(strlen(name) > 0);
    // The host knows itself by this name: many servers look it up at their start.
    hint.ai_flags = 0;
    NUM(getaddrinfo(name, "80", &hint, &list));
}
