// IP_MULTICAST_IF and IPV6_MULTICAST_IF tell what was set.
#include "../case.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
static void tell(int s) {
    struct in_addr address = {0x01020304};
    socklen_t len = sizeof address;
    NUM(getsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &address, &len));
    say("%s, %d bytes", inet_ntoa(address), (int)len);
}
int main(void) {
    int s = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    tell(s);
    struct in_addr lo = {htonl(INADDR_LOOPBACK)}, any = {0}, nowhere = {htonl(0xc6336401)};
    NUM(setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &lo, sizeof lo)), tell(s);
    NUM(setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &nowhere, sizeof nowhere)), tell(s);
    NUM(setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &any, sizeof any)), tell(s);
    struct ip_mreqn request = {.imr_ifindex = if_nametoindex("lo")};
    NUM(setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof request)), tell(s);
    request.imr_address = lo;
    NUM(setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof request)), tell(s);
    s = MUST(socket(AF_INET6, SOCK_DGRAM, 0));
    for (int set = 1; set >= 0; set--) {
        int index = set ? if_nametoindex("lo") : 0, got = -1;
        NUM(setsockopt(s, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index));
        NUM(getsockopt(s, IPPROTO_IPV6, IPV6_MULTICAST_IF, &got, &(socklen_t){sizeof got}));
        IS(got == index);
    }
}
