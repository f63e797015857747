/* images.h - image names to commands of this machine.
 *
 *   images:
 *   - match: "nginx:*"            shell pattern, against the name with and without registry
 *     command: [nginx, -g, "daemon off;"]
 *     args: []                    the image's CMD: dropped when the container has a command
 *     env: {KEY: value}
 *     user: 101                   numeric; containers may say otherwise
 *     workingDir: /
 *
 * Files given by `up --images` come before deploy/local/images.yaml; the first match wins.
 */
#ifndef FSM_CLI_LOCAL_IMAGES_H
#define FSM_CLI_LOCAL_IMAGES_H

#include "cli/local/local.h"

struct images *images_load(const struct instance *in, struct err *e);
void images_free(struct images *im);
/* borrowed, or NULL when no pattern matches */
const json_t *images_find(const struct images *im, const char *image);

#endif
