# Runs one unit of a Redis checkout's test suite and counts every test.       Started by redis-suite.ts, see there.
#
# The suite itself stops at the first error reply that a test did not expect. Here the suite's own helper file is read
# with a few procedures replaced: a test that throws is one failed test, and an error between tests costs only the
# statement it came from. The working directory is a copy of the checkout.
#
# Environment
#   SUITE_UNIT     unit/type/string
#   SUITE_EVENTS   file that one line per event is appended to: kind, name, detail, separated by tabs
#   SUITE_SKIP     list of test names not to run (they hung the last time)
#   SUITE_COMMAND  list: how to start a server, @PORT and @DIR replaced; empty: one is there (--host, --port)
#   SUITE_PORT     first port for servers started here
#   SUITE_REAL     1: the server is redis-server
#   SUITE_OWN      1: the suite starts its servers itself, by its own start_server and src/redis-server

set suite_events [open $env(SUITE_EVENTS) a]
fconfigure $suite_events -buffering line
set suite_next_port $env(SUITE_PORT)
set suite_unknown {}

proc suite_event {kind name {detail ""}} {
    set fields {}
    foreach text [list $kind $name $detail] {
        lappend fields [string map {\\ \\\\ \n \\n \t \\t \r \\r} $text]
    }
    puts $::suite_events [join $fields "\t"]
}

# How many tests a piece of script has in its text; loops may run them more often.
proc suite_tests_in {code} {
    regexp -all -line {^\s*test\s+[\{\"]} $code
}

# Evaluates a script statement by statement in the caller's `level`: one that throws is reported, with the number of
# tests in it that did not run, and the next one follows.
proc suite_statements {level code} {
    set statement ""
    foreach line [split $code "\n"] {
        append statement $line "\n"
        if {![info complete $statement]} continue
        suite_statement [expr {$level + 1}] $statement
        set statement ""
    }
    if {[string trim $statement] ne ""} { suite_statement [expr {$level + 1}] $statement }
}

proc suite_statement {level statement} {
    set before $::suite_seen
    set tags $::tags
    set servers $::servers
    set modes [suite_client_modes]
    set ::suite_ignored ""
    set code [catch {uplevel $level $statement} message]
    set lost [expr {max(0, [suite_tests_in $statement] - ($::suite_seen - $before))}]
    if {$code != 1} {
        if {$::suite_ignored ne "" && $lost > 0} { suite_event block $lost $::suite_ignored }
        set ::suite_ignored ""
        return
    }
    set ::tags $tags
    set ::servers $servers
    suite_event outside $lost "$message | [string range [string trim $statement] 0 160] | [suite_take_unknown]"
    suite_renew_client $modes
}

proc suite_take_unknown {} {
    set names [lsort -unique $::suite_unknown]
    set ::suite_unknown {}
    return $names
}

# How the block's client reads: a list for suite_renew_client.
proc suite_client_modes {} {
    if {![suite_has_client] || ![regexp {redisHandle(\d+)$} [srv 0 client] - id]} { return {0 0} }
    if {![info exists ::redis::deferred($id)]} { return {0 0} }
    list $::redis::deferred($id) $::redis::readraw($id)
}

# A server that a test waits for itself has no client yet.
proc suite_has_client {} {
    expr {[llength $::servers] > 0 && [dict exists [lindex $::servers end] client]}
}

# The connection of the block's client, which may have unread replies, is replaced; the client keeps its name.
proc suite_renew_client {modes} {
    if {![suite_has_client]} return
    set client [srv 0 client]
    if {![regexp {redisHandle(\d+)$} $client - id]} return
    catch {close $::redis::fd($id)}
    if {[catch {[expr {$::tls ? "::tls::socket" : "socket"}] [srv 0 host] [srv 0 port]} fd]} return
    fconfigure $fd -translation binary
    set ::redis::fd($id) $fd
    set ::redis::addr($id) [list [srv 0 host] [srv 0 port]]
    foreach {field value} {blocking 1 deferred 0 readraw 0 reconnect 0 curr_argv 0 testing_resp3 0} {
        set ::redis::${field}($id) $value
    }
    set ::redis::tls($id) $::tls
    ::redis::redis_reset_state $id
    if {!$::singledb} { catch {$client select 9} }
    set ::redis::deferred($id) [lindex $modes 0]
    set ::redis::readraw($id) [lindex $modes 1]
}

proc suite_configs {} {
    set values {}
    catch {set values [$::suite_control config get *]}
    return $values
}

proc suite_restore {before} {
    set now [suite_configs]
    foreach {name value} $before {
        if {[dict exists $now $name] && [dict get $now $name] ne $value} {
            catch {$::suite_control config set $name $value}
        }
    }
}

# Names of the keys in the suite's database while there are few; {} otherwise.
proc suite_keys {} {
    set names {}
    catch {
        if {!$::singledb} { $::suite_control select 9 }
        if {[$::suite_control dbsize] <= 1000} { set names [$::suite_control keys *] }
    }
    return $names
}

# What a test left that ended half way would be in the way of the tests that follow.
proc suite_sweep {before} {
    foreach name [suite_keys] {
        if {[lsearch -exact $before $name] < 0} { catch {$::suite_control del $name} }
    }
}

# The statement that threw, out of Tcl's trace.
proc suite_origin {trace} {
    set statement [lindex [regexp -all -inline {"([^"]+)"\s+\("uplevel" body} $trace] 1]
    return [string range [expr {$statement eq "" ? $trace : $statement}] 0 300]
}

# --- replaced procedures of the suite ------------------------------------------------------------------------------

# What the suite tells its own server: of interest is only why start_server left out its block.
proc suite_send {fd status data {elapsed 0}} {
    if {$status eq "ignore"} { set ::suite_ignored $data }
    # A server that does not start makes no exception; its log is in the text.
    if {$status eq "err"} { suite_event outside 0 [string range $data end-1500 end] }
}

# A test that ends early leaves its clients blocked; those behind it would count them, or lose elements to them.
proc suite_free_blocked {} {
    catch {
        foreach line [split [$::suite_control client list] "\n"] {
            if {[regexp {^id=(\d+) .* flags=[^ ]*b} $line - id]} { $::suite_control client kill id $id }
        }
    }
}

proc suite_test {name code {okpattern undefined} {tags {}}} {
    incr ::suite_seen
    if {[lsearch -exact $::env(SUITE_SKIP) $name] >= 0} {
        suite_event failed $name "no reply: the test hung"
        return
    }
    if {![tags_acceptable [concat $::tags $tags] reason]} {
        suite_event skipped $name $reason
        return
    }
    set ::cur_test $name
    set ::suite_unknown {}
    set before [suite_configs]
    set modes [suite_client_modes]
    set keys [suite_keys]
    suite_event testing $name
    set started [clock milliseconds]
    set in_test $::suite_in_test
    set ::suite_in_test 1
    set status [catch {uplevel 1 $code} result]
    set ::suite_in_test $in_test
    set elapsed [expr {[clock milliseconds] - $started}]
    set unknown [suite_take_unknown]
    if {$status != 1 && ($okpattern eq "undefined" || $okpattern eq $result || [string match $okpattern $result])} {
        suite_event ok $name $elapsed
        return
    }
    if {$status == 1} {
        set detail [string range $result 0 600]
        if {![string match "assertion:*" $result]} { append detail " | " [suite_origin $::errorInfo] }
    } else {
        set detail "result '[string range $result 0 300]', not '$okpattern'"
    }
    if {[regexp {unknown command '([^']*)'} $detail - command]} { lappend unknown [string toupper $command] }
    if {[string match "*not supported in this version*" $detail]} { lappend unknown CONFIG }
    if {$unknown eq ""} {
        suite_event failed $name $detail
    } else {
        suite_event missing $name "[lsort -unique $unknown] | [string range $detail 0 200]"
    }
    suite_restore $before
    catch {$::suite_control client unpause}
    suite_free_blocked
    suite_renew_client $modes
    if {$status == 1} { suite_sweep $keys }
}

proc suite_tags {tags code} {
    set tags [string map {\" ""} $tags]
    set before $::tags
    set ::tags [concat $::tags $tags]
    if {[tags_acceptable $::tags reason]} {
        suite_statements 2 $code
    } else {
        suite_event block [suite_tests_in $code] $reason
    }
    set ::tags $before
}

# The suite's start_server, which is kept, comes here with its body: two levels below the body's own.
proc suite_server {code overrides} {
    set server [dict create host $::host port $::port pid 0 stdout /dev/null stderr /dev/null config_file ""]
    if {$::env(SUITE_COMMAND) ne ""} { set server [suite_spawn] }
    dict set server config [dict create port [dict get $server port]]
    set outer_control $::suite_control
    set ::suite_control [redis [dict get $server host] [dict get $server port] 0 0]
    $::suite_control flushall
    $::suite_control config resetstat
    set before [suite_configs]
    foreach {name value} $overrides {
        if {[catch {$::suite_control config set $name $value} message]} {
            suite_event override "$name $value" $message
        }
    }
    set client [redis [dict get $server host] [dict get $server port] 0 0]
    if {!$::singledb && ![dict exists $overrides requirepass]} { $client select 9 }
    dict set server client $client
    lappend ::servers $server
    if {$::suite_in_test} {
        set status [catch {uplevel 2 $code} result info]
    } else {
        set ::suite_unknown {}
        suite_statements 3 $code
        set status 0
    }
    suite_restore $before
    catch {[srv 0 client] close}
    catch {$::suite_control close}
    set ::suite_control $outer_control
    set ::servers [lrange $::servers 0 end-1]
    if {[dict get $server pid] != 0} { suite_stop [dict get $server pid] }
    if {$status != 0} { return -options $info $result }
}

# The suite's own start_server, around a body whose statements are counted one by one. Within a test the body belongs to it.
proc suite_start_server {options {code undefined}} {
    if {$code eq "undefined" || $::suite_in_test} {
        if {$code eq "undefined"} { return [uplevel 1 [list suite_original_start_server $options]] }
        return [uplevel 1 [list suite_original_start_server $options $code]]
    }
    set depth [llength $::servers]
    set tags $::tags
    set failed [catch {uplevel 1 [list suite_original_start_server $options [list suite_block $code]]} message]
    # The body never fails, so the server did not start, or not stop.
    if {$failed} {
        set ::servers [lrange $::servers 0 [expr {$depth - 1}]]
        set ::tags $tags
        error $message
    }
}

# Directives that only Redis's own tests use: how long to sleep at each key, and how to end after a failed assertion. With --tls
# the suite also asks for TLS between nodes.
set suite_test_directives {
    rdb-key-save-delay key-load-delay loading-process-events-interval-bytes use-exit-on-panic
    tls-cluster
}

proc suite_create_config {filename config config_lines} {
    set file [open $filename w]
    foreach {directive value} [concat $config $config_lines] {
        if {[lsearch -exact $::suite_test_directives $directive] < 0} { puts $file "$directive $value" }
    }
    close $file
}

# Ferrite has made one file of what the test wrote before; it makes another of what the test writes now.
proc suite_create_aof {directory file code} {
    file delete [file join [file dirname $directory] appendonly.aof]
    uplevel 1 [list suite_original_create_aof $directory $file $code]
}

# The suite waits two minutes for the log of a process that has ended long ago.
proc suite_wait_server_started {config_file stdout pid} {
    for {set attempt 0} {$attempt < 1200} {incr attempt} {
        set log [exec cat $stdout]
        if {[regexp -- " PID: $pid.*Server initialized" $log]} { return 0 }
        if {[regexp {Failed listening on port|Address already in use} $log]} { return 1 }
        if {[catch {exec kill -0 $pid}]} {
            catch {set errors [exec tail -3 [file join [file dirname $stdout] stderr]]}
            error "the server did not start: $errors"
        }
        after 20
    }
    error "the server said nothing for too long"
}

proc suite_block {code} {
    set outer $::suite_control
    set ::suite_control ""
    catch {set ::suite_control [redis [srv 0 host] [srv 0 port] 0 $::tls]}
    set ::suite_unknown {}
    suite_statements 2 $code
    catch {$::suite_control close}
    set ::suite_control $outer
}

proc suite_spawn {} {
    set port [incr ::suite_next_port]
    set dir [file normalize [file join tests tmp server.$port]]
    file mkdir $dir
    set log [file join $dir log]
    set command [lmap word $::env(SUITE_COMMAND) {string map [list @PORT $port @DIR $dir] $word}]
    set pid [exec {*}$command >> $log 2>> $log &]
    suite_event spawned $pid
    for {set attempt 0} {$attempt < 400} {incr attempt} {
        if {[ping_server 127.0.0.1 $port]} {
            return [dict create host 127.0.0.1 port $port pid $pid stdout $log stderr $log config_file "" unixsocket ""]
        }
        after 25
    }
    error "the server did not start: [exec tail -5 $log]"
}

proc suite_stop {pid} {
    catch {exec kill $pid}
    for {set attempt 0} {$attempt < 200 && [is_alive $pid]} {incr attempt} { after 25 }
    catch {exec kill -9 $pid}
}

# A line of a reply; error replies that tell of a command or subcommand this server does not have are remembered.
proc suite_gets {fd} {
    if {[catch {gets $fd} line]} { return "" }
    if {[regexp {^-?ERR unknown command '([^']*)'} $line - name] ||
        [regexp {^-?ERR unknown subcommand '[^']*'\. Try ([A-Z]+)} $line - name] ||
        [regexp {^-?ERR unknown subcommand or wrong number of arguments for '[^']*'\. Try ([A-Z]+)} $line - name]} {
        lappend ::suite_unknown [string toupper $name]
    } elseif {[string match "*ERR Invalid command specified*" $line]} {
        # COMMAND GETKEYS of such a command.
        lappend ::suite_unknown GETKEYS
    }
    return $line
}

proc suite_main {port} {
    set ::suite_seen 0
    set ::suite_control ""
    set ::suite_ignored ""
    set ::suite_in_test 0
    set ::test_server_fd ""
    set ::curfile "tests/$::env(SUITE_UNIT).tcl"
    if {$::env(SUITE_COMMAND) eq "" && $::env(SUITE_OWN) eq ""} { set ::suite_control [redis $::host $::port 0 0] }
    set file [open $::curfile]
    set text [read $file]
    close $file
    uplevel #0 [list suite_statements 1 $text]
    suite_event done $::env(SUITE_UNIT)
}

proc suite_tags_acceptable {tags reason_name} {
    upvar $reason_name reason
    # With servers of our own, tests may do what an external server would not allow.
    if {$::env(SUITE_COMMAND) eq ""} { return [suite_original_tags_acceptable $tags reason] }
    set ::external 0
    set answer [suite_original_tags_acceptable $tags reason]
    set ::external 1
    return $answer
}

set suite_replaced {
    send_data_packet suite_send
    test suite_test
    tags suite_tags
    run_external_server_test suite_server
    wait_server_started suite_wait_server_started
    test_client_main suite_main
    ::redis::redis_safe_gets suite_gets
}
rename proc suite_proc
suite_proc proc {name arguments body} {
    if {[dict exists $::suite_replaced $name]} {
        interp alias {} $name {} [dict get $::suite_replaced $name]
    } elseif {$name eq "start_server" && $::env(SUITE_OWN) ne ""} {
        uplevel 1 [list suite_proc suite_original_start_server $arguments $body]
        interp alias {} start_server {} suite_start_server
    } elseif {$name eq "create_server_config_file" && $::env(SUITE_OWN) ne "" && $::env(SUITE_REAL) eq ""} {
        interp alias {} $name {} suite_create_config
    } elseif {$name eq "create_aof" && $::env(SUITE_OWN) ne ""} {
        uplevel 1 [list suite_proc suite_original_create_aof $arguments $body]
        interp alias {} create_aof {} suite_create_aof
    } elseif {$name eq "tags_acceptable"} {
        uplevel 1 [list suite_proc suite_original_tags_acceptable $arguments $body]
        interp alias {} tags_acceptable {} suite_tags_acceptable
    } else {
        uplevel 1 [list suite_proc $name $arguments $body]
    }
}
source tests/test_helper.tcl
