/* Linked into the program of a release, which has the C library in it.
 *
 * For a name that it does not find, the C library asks the modules that nsswitch.conf names for
 * hosts, and loads them from the system. Those are made for the system's C library, and ours
 * aborts the process when it loads one of an older version. Many systems name such a module,
 * myhostname. So names come from /etc/hosts and from the name servers alone, whatever
 * nsswitch.conf says. */
#include <nss.h>

__attribute__((constructor)) static void look_up_names_without_modules(void)
{
    __nss_configure_lookup("hosts", "files dns");
}
