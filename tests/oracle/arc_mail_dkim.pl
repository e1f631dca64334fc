#!/usr/bin/perl
# What Mail::DKIM makes of messages: arc_mail_dkim.pl KEYS < MESSAGES, as arc_tool.c has it. For each, a line comes out:
# "result TAB details". "slow": it has no answer within a second of CPU (one of its patterns takes time exponential in
# the tags of a field that has no "i=" as it expects it); so each message has a process of its own.
use strict;
use warnings;

use Mail::DKIM::ARC::Verifier;
use Mail::DKIM::DNS;
use POSIX ();
use Time::HiRes qw(ITIMER_PROF setitimer);

package Record {
    sub type    { return 'TXT' }
    sub txtdata { return ( $_[0]{text} ) }
}

my %records;
open my $keys, '<', $ARGV[0] or die "$ARGV[0]: $!\n";
while ( my $line = <$keys> ) {
    chomp $line;
    my ( $name, $text ) = split /\t/, $line, 2;
    $records{ lc $name } = $text;
}

{
    no warnings 'redefine';
    *Mail::DKIM::DNS::query = sub {
        my ($name) = @_;
        my $text = $records{ lc $name };
        $@ = 'NXDOMAIN';
        return if !defined $text;
        die "DNS query timeout for $name\n" if $text eq '!';
        return ( bless { text => $text }, 'Record' );
    };
}

sub judge {
    my ($message) = @_;
    my ( $result, $details ) = ( 'error', '' );
    eval {
        local $SIG{__WARN__} = sub { };
        my $verifier = Mail::DKIM::ARC::Verifier->new( Strict => 1 );
        $verifier->PRINT($message);
        $verifier->CLOSE;
        $result  = $verifier->result || 'error';
        $details = $verifier->result_detail || '';
        1;
    } or $details = $@;
    $details =~ s/[\r\n\t]+/ /g;
    print "$result\t$details\n";
}

binmode STDIN;
$| = 1;
while ( my $size = <STDIN> ) {
    read( STDIN, my $message, $size ) == $size or die "a message is cut short\n";
    my $child = fork;
    die "fork: $!\n" if !defined $child;
    if ( !$child ) {
        setitimer( ITIMER_PROF, 1 );
        judge($message);
        POSIX::_exit(0);
    }
    waitpid $child, 0;
    print "slow\t\n" if $?;
}
