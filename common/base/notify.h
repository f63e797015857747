/* notify.h - tells the service manager that started us how we are: systemd, Type=notify
 * (sd_notify(3)).  Without one nothing happens. */
#ifndef FSM_BASE_NOTIFY_H
#define FSM_BASE_NOTIFY_H

/* "READY=1", "RELOADING=1", "STOPPING=1", "STATUS=..."; several with newlines between them.  Errors
 * are nobody's business: whoever does not listen learns nothing. */
void notify_manager(const char *state);

#endif
