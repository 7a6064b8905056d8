# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_cwp_exporter_global_optspecs
    string join \n config.file= config.check web.listen-address= web.systemd-socket web.config.file= web.calendar-token-file= web.health-without-auth web.max-connections= web.max-requests= web.telemetry-path= web.enable-lifecycle shard.index= shard.total= replica.count= state.dir= log.level= log.format= h/help V/version
end

function __fish_cwp_exporter_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_cwp_exporter_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_cwp_exporter_using_subcommand
    set -l cmd (__fish_cwp_exporter_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l config.file -d 'Configuration file (YAML)' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l web.listen-address -d 'Address to listen on: HOST:PORT, or :PORT for all addresses. The flag can be given several times' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l web.config.file -d 'Web configuration file (YAML): TLS, passwords and headers, in the format of the Prometheus exporters' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l web.calendar-token-file -d 'File with the token of the calendar. With a password in the web configuration, /calendar.ics?token=TOKEN needs no password' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l web.max-connections -d 'Maximum number of open connections. A further connection replaces an idle connection' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l web.max-requests -d 'Maximum number of scrapes at the same time. Further scrapes wait for at most five seconds. 0 means no limit' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l web.telemetry-path -d 'Path of the metrics' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l shard.index -d 'Number of this shard, counted from 0. The process collects only the accounts of this shard. `auto` takes the number at the end of POD_NAME or of the host name' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l shard.total -d 'Number of shards' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l replica.count -d 'Number of replicas. Replicas collect the same accounts and share api.rate_limit' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l state.dir -d 'Folder for the last good values. After a restart, these values are shown with their true age until the accounts have been collected again' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l log.level -d 'Lowest level of the events in the log' -r -f -a "debug\t''
info\t''
warn\t''
error\t''"
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l log.format -d 'Format of the log, which goes to standard error' -r -f -a "logfmt\t'`key=value` pairs'
json\t'One JSON object per line'"
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l config.check -d 'Check the configuration, print its problems, and exit'
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l web.systemd-socket -d 'Listen on the sockets that systemd passes, and on no other address'
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l web.health-without-auth -d 'Answer /-/healthy and /-/ready without a password, even if the web configuration has passwords'
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l web.enable-lifecycle -d 'Allow clients to reload the configuration with POST or PUT /-/reload'
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -s V -l version -d 'Print version'
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -f -a "once" -d 'Collect each account once and print the metrics. The exit code is 1 if an account failed'
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -f -a "doctor" -d 'Check each account step by step and say what to do. The exit code is 1 if a step failed'
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -f -a "simulate" -d 'Simulate the CWP API on a loopback address. Requests are verified as in the real API'
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -f -a "demo" -d 'Serve simulated accounts, without any configuration'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l output -d 'File to write instead of standard output (`-`). The file is replaced as a whole, or not at all' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l web.listen-address -d 'Address to listen on: HOST:PORT, or :PORT for all addresses. The flag can be given several times' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l web.config.file -d 'Web configuration file (YAML): TLS, passwords and headers, in the format of the Prometheus exporters' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l web.calendar-token-file -d 'File with the token of the calendar. With a password in the web configuration, /calendar.ics?token=TOKEN needs no password' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l web.max-connections -d 'Maximum number of open connections. A further connection replaces an idle connection' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l web.max-requests -d 'Maximum number of scrapes at the same time. Further scrapes wait for at most five seconds. 0 means no limit' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l web.telemetry-path -d 'Path of the metrics' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l state.dir -d 'Folder for the last good values. After a restart, these values are shown with their true age until the accounts have been collected again' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l config.file -d 'Configuration file (YAML)' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l shard.index -d 'Number of this shard, counted from 0. The process collects only the accounts of this shard. `auto` takes the number at the end of POD_NAME or of the host name' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l shard.total -d 'Number of shards' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l replica.count -d 'Number of replicas. Replicas collect the same accounts and share api.rate_limit' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l log.level -d 'Lowest level of the events in the log' -r -f -a "debug\t''
info\t''
warn\t''
error\t''"
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l log.format -d 'Format of the log, which goes to standard error' -r -f -a "logfmt\t'`key=value` pairs'
json\t'One JSON object per line'"
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l config.check -d 'Check the configuration, print its problems, and exit'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l web.systemd-socket -d 'Listen on the sockets that systemd passes, and on no other address'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l web.health-without-auth -d 'Answer /-/healthy and /-/ready without a password, even if the web configuration has passwords'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l web.enable-lifecycle -d 'Allow clients to reload the configuration with POST or PUT /-/reload'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l web.listen-address -d 'Address to listen on: HOST:PORT, or :PORT for all addresses. The flag can be given several times' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l web.config.file -d 'Web configuration file (YAML): TLS, passwords and headers, in the format of the Prometheus exporters' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l web.calendar-token-file -d 'File with the token of the calendar. With a password in the web configuration, /calendar.ics?token=TOKEN needs no password' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l web.max-connections -d 'Maximum number of open connections. A further connection replaces an idle connection' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l web.max-requests -d 'Maximum number of scrapes at the same time. Further scrapes wait for at most five seconds. 0 means no limit' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l web.telemetry-path -d 'Path of the metrics' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l state.dir -d 'Folder for the last good values. After a restart, these values are shown with their true age until the accounts have been collected again' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l config.file -d 'Configuration file (YAML)' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l shard.index -d 'Number of this shard, counted from 0. The process collects only the accounts of this shard. `auto` takes the number at the end of POD_NAME or of the host name' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l shard.total -d 'Number of shards' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l replica.count -d 'Number of replicas. Replicas collect the same accounts and share api.rate_limit' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l log.level -d 'Lowest level of the events in the log' -r -f -a "debug\t''
info\t''
warn\t''
error\t''"
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l log.format -d 'Format of the log, which goes to standard error' -r -f -a "logfmt\t'`key=value` pairs'
json\t'One JSON object per line'"
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l json -d 'Print one JSON document'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l config.check -d 'Check the configuration, print its problems, and exit'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l web.systemd-socket -d 'Listen on the sockets that systemd passes, and on no other address'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l web.health-without-auth -d 'Answer /-/healthy and /-/ready without a password, even if the web configuration has passwords'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l web.enable-lifecycle -d 'Allow clients to reload the configuration with POST or PUT /-/reload'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l listen -d 'Loopback address to listen on' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l scenario -d 'Scenario file (YAML). The default is the scenario of the demo' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l config.file -d 'Configuration file (YAML)' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l web.listen-address -d 'Address to listen on: HOST:PORT, or :PORT for all addresses. The flag can be given several times' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l web.config.file -d 'Web configuration file (YAML): TLS, passwords and headers, in the format of the Prometheus exporters' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l web.calendar-token-file -d 'File with the token of the calendar. With a password in the web configuration, /calendar.ics?token=TOKEN needs no password' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l web.max-connections -d 'Maximum number of open connections. A further connection replaces an idle connection' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l web.max-requests -d 'Maximum number of scrapes at the same time. Further scrapes wait for at most five seconds. 0 means no limit' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l web.telemetry-path -d 'Path of the metrics' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l shard.index -d 'Number of this shard, counted from 0. The process collects only the accounts of this shard. `auto` takes the number at the end of POD_NAME or of the host name' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l shard.total -d 'Number of shards' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l replica.count -d 'Number of replicas. Replicas collect the same accounts and share api.rate_limit' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l state.dir -d 'Folder for the last good values. After a restart, these values are shown with their true age until the accounts have been collected again' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l log.level -d 'Lowest level of the events in the log' -r -f -a "debug\t''
info\t''
warn\t''
error\t''"
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l log.format -d 'Format of the log, which goes to standard error' -r -f -a "logfmt\t'`key=value` pairs'
json\t'One JSON object per line'"
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l config.check -d 'Check the configuration, print its problems, and exit'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l web.systemd-socket -d 'Listen on the sockets that systemd passes, and on no other address'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l web.health-without-auth -d 'Answer /-/healthy and /-/ready without a password, even if the web configuration has passwords'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l web.enable-lifecycle -d 'Allow clients to reload the configuration with POST or PUT /-/reload'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l config.file -d 'Configuration file (YAML)' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l shard.index -d 'Number of this shard, counted from 0. The process collects only the accounts of this shard. `auto` takes the number at the end of POD_NAME or of the host name' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l shard.total -d 'Number of shards' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l replica.count -d 'Number of replicas. Replicas collect the same accounts and share api.rate_limit' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l web.listen-address -d 'Address to listen on: HOST:PORT, or :PORT for all addresses. The flag can be given several times' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l web.config.file -d 'Web configuration file (YAML): TLS, passwords and headers, in the format of the Prometheus exporters' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l web.calendar-token-file -d 'File with the token of the calendar. With a password in the web configuration, /calendar.ics?token=TOKEN needs no password' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l web.max-connections -d 'Maximum number of open connections. A further connection replaces an idle connection' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l web.max-requests -d 'Maximum number of scrapes at the same time. Further scrapes wait for at most five seconds. 0 means no limit' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l web.telemetry-path -d 'Path of the metrics' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l state.dir -d 'Folder for the last good values. After a restart, these values are shown with their true age until the accounts have been collected again' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l log.level -d 'Lowest level of the events in the log' -r -f -a "debug\t''
info\t''
warn\t''
error\t''"
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l log.format -d 'Format of the log, which goes to standard error' -r -f -a "logfmt\t'`key=value` pairs'
json\t'One JSON object per line'"
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l stack -d 'Start Prometheus and Alertmanager too, with the rules and the routes of this project. One hour of the rules takes one minute. Both programs must be on PATH'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l config.check -d 'Check the configuration, print its problems, and exit'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l web.systemd-socket -d 'Listen on the sockets that systemd passes, and on no other address'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l web.health-without-auth -d 'Answer /-/healthy and /-/ready without a password, even if the web configuration has passwords'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l web.enable-lifecycle -d 'Allow clients to reload the configuration with POST or PUT /-/reload'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
