// The loopback interface: name, index, address, flags, by ioctl and getifaddrs.
#include "../case.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
int main(void) {
    int s = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    NUM(if_nametoindex("lo"));
    struct ifreq r = {.ifr_name = "lo"};
    NUM(ioctl(s, SIOCGIFADDR, &r));
    say("%s", inet_ntoa(((struct sockaddr_in *)&r.ifr_addr)->sin_addr));
    NUM(ioctl(s, SIOCGIFFLAGS, &r));
    IS((r.ifr_flags & (IFF_UP | IFF_LOOPBACK | IFF_RUNNING)) == (IFF_UP | IFF_LOOPBACK | IFF_RUNNING));
    NUM(ioctl(s, SIOCGIFMTU, &r));
    NUM(r.ifr_mtu);
    r.ifr_ifindex = 1;
    NUM(ioctl(s, SIOCGIFNAME, &r));
    say("%s", r.ifr_name);
    // The speed, which a loopback has not, and whether there is a link.
    struct ethtool_value value = {ETHTOOL_GSET, 7};
    r.ifr_data = (void *)&value;
    NUM(ioctl(s, SIOCETHTOOL, &r));
    value.cmd = ETHTOOL_GLINK;
    NUM(ioctl(s, SIOCETHTOOL, &r)), NUM(value.data);
    r.ifr_data = NULL;
    NUM(ioctl(s, SIOCETHTOOL, &r));
    strcpy(r.ifr_name, "nothing0");
    NUM(ioctl(s, SIOCETHTOOL, &r));
    NUM(ioctl(s, SIOCGIFADDR, &r));
    struct ifaddrs *list;
    NUM(getifaddrs(&list));
    int found = 0;
    for (struct ifaddrs *i = list; i; i = i->ifa_next)
        if (!strcmp(i->ifa_name, "lo") && i->ifa_addr && i->ifa_addr->sa_family == AF_INET)
            found += ((struct sockaddr_in *)i->ifa_addr)->sin_addr.s_addr == htonl(INADDR_LOOPBACK);
    NUM(found);
    IS(strstr(get("/proc/net/dev"), "lo:") != NULL);
}
