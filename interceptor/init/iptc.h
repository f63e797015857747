/* iptc.h - includes libiptc and libip6tc.  They pull in <netinet/ip.h>, whose struct ip is a
 * packet header and not our address (common/base/cidr.h): it gets another name here, and so does
 * the one place that uses it. */
#ifndef FSM_INIT_IPTC_H
#define FSM_INIT_IPTC_H

#define ip netinet_ip
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#undef ip
#include <libiptc/libip6tc.h>
#include <libiptc/libiptc.h>

#endif
