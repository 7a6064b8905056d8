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
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l web.listen-address -d 'Address to listen on, HOST:PORT; without a host, every address. Repeatable' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l web.config.file -d 'Web configuration file (YAML): TLS, passwords, headers, as for other exporters' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l web.calendar-token-file -d 'File with a token that opens /calendar.ics without the password that the web configuration demands, as /calendar.ics?token=TOKEN' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l web.max-connections -d 'How many connections may be open; a further connection replaces an idle one' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l web.max-requests -d 'How many scrapes may be answered at a time; further scrapes wait for at most five seconds; 0 is no limit' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l web.telemetry-path -d 'Path of the metrics' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l shard.index -d 'Collect only the accounts of this shard, counted from 0; `auto` takes the number at the end of POD_NAME or of the host\'s name' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l shard.total -d 'How many shards there are' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l replica.count -d 'How many replicas collect the same accounts and share api.rate_limit' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l state.dir -d 'Keep the last good values in this folder, and show them after a restart with their true age until they have been collected anew' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l log.level -d 'Log only events of this level or above' -r -f -a "debug\t''
info\t''
warn\t''
error\t''"
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l log.format -d 'Format of the log lines on standard error' -r -f -a "logfmt\t'`key=value` pairs'
json\t'A JSON object'"
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l config.check -d 'Check the configuration, say what is wrong with it, and exit'
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l web.systemd-socket -d 'Listen on the sockets that systemd passes instead'
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l web.health-without-auth -d 'Answer /-/healthy and /-/ready without the password that the web configuration demands'
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -l web.enable-lifecycle -d 'Let clients reload the configuration with POST or PUT /-/reload'
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -s V -l version -d 'Print version'
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -f -a "once" -d 'Collect every account once and print the exposition; exit 1 if any account failed'
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -f -a "doctor" -d 'Check each account step by step and say what to do; exit 1 if any step failed'
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -f -a "simulate" -d 'Simulate the CWP API on a loopback address, verifying requests as the real API does'
complete -c cwp-exporter -n "__fish_cwp_exporter_needs_command" -f -a "demo" -d 'Serve simulated accounts in one process, with nothing to configure'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l output -d 'Write to this file instead, replacing it whole or not at all; `-` is standard output' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l web.listen-address -d 'Address to listen on, HOST:PORT; without a host, every address. Repeatable' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l web.config.file -d 'Web configuration file (YAML): TLS, passwords, headers, as for other exporters' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l web.calendar-token-file -d 'File with a token that opens /calendar.ics without the password that the web configuration demands, as /calendar.ics?token=TOKEN' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l web.max-connections -d 'How many connections may be open; a further connection replaces an idle one' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l web.max-requests -d 'How many scrapes may be answered at a time; further scrapes wait for at most five seconds; 0 is no limit' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l web.telemetry-path -d 'Path of the metrics' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l state.dir -d 'Keep the last good values in this folder, and show them after a restart with their true age until they have been collected anew' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l config.file -d 'Configuration file (YAML)' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l shard.index -d 'Collect only the accounts of this shard, counted from 0; `auto` takes the number at the end of POD_NAME or of the host\'s name' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l shard.total -d 'How many shards there are' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l replica.count -d 'How many replicas collect the same accounts and share api.rate_limit' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l log.level -d 'Log only events of this level or above' -r -f -a "debug\t''
info\t''
warn\t''
error\t''"
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l log.format -d 'Format of the log lines on standard error' -r -f -a "logfmt\t'`key=value` pairs'
json\t'A JSON object'"
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l config.check -d 'Check the configuration, say what is wrong with it, and exit'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l web.systemd-socket -d 'Listen on the sockets that systemd passes instead'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l web.health-without-auth -d 'Answer /-/healthy and /-/ready without the password that the web configuration demands'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -l web.enable-lifecycle -d 'Let clients reload the configuration with POST or PUT /-/reload'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand once" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l web.listen-address -d 'Address to listen on, HOST:PORT; without a host, every address. Repeatable' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l web.config.file -d 'Web configuration file (YAML): TLS, passwords, headers, as for other exporters' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l web.calendar-token-file -d 'File with a token that opens /calendar.ics without the password that the web configuration demands, as /calendar.ics?token=TOKEN' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l web.max-connections -d 'How many connections may be open; a further connection replaces an idle one' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l web.max-requests -d 'How many scrapes may be answered at a time; further scrapes wait for at most five seconds; 0 is no limit' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l web.telemetry-path -d 'Path of the metrics' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l state.dir -d 'Keep the last good values in this folder, and show them after a restart with their true age until they have been collected anew' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l config.file -d 'Configuration file (YAML)' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l shard.index -d 'Collect only the accounts of this shard, counted from 0; `auto` takes the number at the end of POD_NAME or of the host\'s name' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l shard.total -d 'How many shards there are' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l replica.count -d 'How many replicas collect the same accounts and share api.rate_limit' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l log.level -d 'Log only events of this level or above' -r -f -a "debug\t''
info\t''
warn\t''
error\t''"
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l log.format -d 'Format of the log lines on standard error' -r -f -a "logfmt\t'`key=value` pairs'
json\t'A JSON object'"
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l json -d 'Print one JSON document'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l config.check -d 'Check the configuration, say what is wrong with it, and exit'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l web.systemd-socket -d 'Listen on the sockets that systemd passes instead'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l web.health-without-auth -d 'Answer /-/healthy and /-/ready without the password that the web configuration demands'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -l web.enable-lifecycle -d 'Let clients reload the configuration with POST or PUT /-/reload'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l listen -d 'Loopback address to listen on' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l scenario -d 'Scenario file (YAML); the demo\'s scenario when absent' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l config.file -d 'Configuration file (YAML)' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l web.listen-address -d 'Address to listen on, HOST:PORT; without a host, every address. Repeatable' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l web.config.file -d 'Web configuration file (YAML): TLS, passwords, headers, as for other exporters' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l web.calendar-token-file -d 'File with a token that opens /calendar.ics without the password that the web configuration demands, as /calendar.ics?token=TOKEN' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l web.max-connections -d 'How many connections may be open; a further connection replaces an idle one' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l web.max-requests -d 'How many scrapes may be answered at a time; further scrapes wait for at most five seconds; 0 is no limit' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l web.telemetry-path -d 'Path of the metrics' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l shard.index -d 'Collect only the accounts of this shard, counted from 0; `auto` takes the number at the end of POD_NAME or of the host\'s name' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l shard.total -d 'How many shards there are' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l replica.count -d 'How many replicas collect the same accounts and share api.rate_limit' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l state.dir -d 'Keep the last good values in this folder, and show them after a restart with their true age until they have been collected anew' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l log.level -d 'Log only events of this level or above' -r -f -a "debug\t''
info\t''
warn\t''
error\t''"
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l log.format -d 'Format of the log lines on standard error' -r -f -a "logfmt\t'`key=value` pairs'
json\t'A JSON object'"
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l config.check -d 'Check the configuration, say what is wrong with it, and exit'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l web.systemd-socket -d 'Listen on the sockets that systemd passes instead'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l web.health-without-auth -d 'Answer /-/healthy and /-/ready without the password that the web configuration demands'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -l web.enable-lifecycle -d 'Let clients reload the configuration with POST or PUT /-/reload'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand simulate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l config.file -d 'Configuration file (YAML)' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l shard.index -d 'Collect only the accounts of this shard, counted from 0; `auto` takes the number at the end of POD_NAME or of the host\'s name' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l shard.total -d 'How many shards there are' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l replica.count -d 'How many replicas collect the same accounts and share api.rate_limit' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l web.listen-address -d 'Address to listen on, HOST:PORT; without a host, every address. Repeatable' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l web.config.file -d 'Web configuration file (YAML): TLS, passwords, headers, as for other exporters' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l web.calendar-token-file -d 'File with a token that opens /calendar.ics without the password that the web configuration demands, as /calendar.ics?token=TOKEN' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l web.max-connections -d 'How many connections may be open; a further connection replaces an idle one' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l web.max-requests -d 'How many scrapes may be answered at a time; further scrapes wait for at most five seconds; 0 is no limit' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l web.telemetry-path -d 'Path of the metrics' -r
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l state.dir -d 'Keep the last good values in this folder, and show them after a restart with their true age until they have been collected anew' -r -F
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l log.level -d 'Log only events of this level or above' -r -f -a "debug\t''
info\t''
warn\t''
error\t''"
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l log.format -d 'Format of the log lines on standard error' -r -f -a "logfmt\t'`key=value` pairs'
json\t'A JSON object'"
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l stack -d 'Start Prometheus and Alertmanager as well, with the rules and the routes that are shipped, an hour in a minute. Both must be on PATH'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l config.check -d 'Check the configuration, say what is wrong with it, and exit'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l web.systemd-socket -d 'Listen on the sockets that systemd passes instead'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l web.health-without-auth -d 'Answer /-/healthy and /-/ready without the password that the web configuration demands'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -l web.enable-lifecycle -d 'Let clients reload the configuration with POST or PUT /-/reload'
complete -c cwp-exporter -n "__fish_cwp_exporter_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
