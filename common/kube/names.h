/* names.h - the syntax of names, labels, ports, durations ... in Kubernetes objects.
 *
 * A syntax check returns NULL when the text is fine, else what was expected, in words that
 * complete "got \"X\", expected ...".  All pure; any thread.
 */
#ifndef FSM_KUBE_NAMES_H
#define FSM_KUBE_NAMES_H

typedef const char *kube_syntax(const char *s);

kube_syntax kube_is_dns_label;     /* RFC 1123 label: Namespace, container, port names */
kube_syntax kube_is_dns1035_label; /* RFC 1035 label: Service */
kube_syntax kube_is_dns_subdomain; /* RFC 1123 subdomain: most objects */
kube_syntax kube_is_path_segment;  /* RBAC objects */
kube_syntax kube_is_host;          /* subdomain, "*." allowed in front, or "*" */
kube_syntax kube_is_fqdn;          /* subdomain with at least two parts */
kube_syntax kube_is_port_name;     /* IANA service name: at most 15 characters */
kube_syntax kube_is_label_key;     /* [prefix/]name */
kube_syntax kube_is_annotation_key;
kube_syntax kube_is_label_value;
kube_syntax kube_is_config_key; /* keys of ConfigMap and Secret data */
kube_syntax kube_is_env_name;
kube_syntax kube_is_http_token; /* header names (RFC 9110) */
kube_syntax kube_is_absolute_path;
kube_syntax kube_is_ip;
kube_syntax kube_is_ipv4;
kube_syntax kube_is_cidr; /* with a prefix length */
kube_syntax kube_is_ip_or_cidr;
kube_syntax kube_is_duration;  /* Go: "1h30m" */
kube_syntax kube_is_validity;  /* a duration of at least a second */
kube_syntax kube_is_interface; /* of the network: "eth0" */
kube_syntax kube_is_quantity;
kube_syntax kube_is_percent; /* "25%" */
kube_syntax kube_is_base64;  /* white space allowed, as Kubernetes does */
kube_syntax kube_is_rfc3339;
kube_syntax kube_is_schedule; /* five cron fields or @daily ... */
kube_syntax kube_is_regex;    /* PCRE2 */
kube_syntax kube_is_ratio;    /* "0.0" .. "1.0" as text */

/* between two names, in half edits: insert, delete, replace and swap count 2, another case 1 */
unsigned kube_name_distance(const char *a, const char *b);
/* the largest distance at which a suggestion for a name helps */
unsigned kube_name_distance_limit(const char *a);

#endif
