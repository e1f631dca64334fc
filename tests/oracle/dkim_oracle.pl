#!/usr/bin/perl
# Mail::DKIM as an oracle: signs and verifies messages that come on standard input, until it ends. DNS is what the
# message brings along. A request is a line of words between tabs and the bytes that it announces:
#
#     verify  BYTES  ANSWERS          the message; then, ANSWERS times: NAME  RECORDS, and for each record BYTES and them
#                                     (RECORDS -1: nobody answers)
#     sign    BYTES  KEYFILE  METHOD  DOMAIN  SELECTOR  IDENTITY  HEADERS
#
# To `verify` comes a line for each signature that it can read: result, detail, and the field in hexadecimal; then "end".
# To `sign` comes the field in hexadecimal.
use strict;
use warnings;
use Mail::DKIM::Verifier;
use Mail::DKIM::Signer;
use Mail::DKIM::DNS;

binmode STDIN;
binmode STDOUT;
$| = 1;
$SIG{__WARN__} = sub { };  # of its modules, about tags that are no numbers

my %answers;

{
    package Answer;
    sub new { my ($class, $text) = @_; return bless { text => $text }, $class; }
    sub type { return 'TXT'; }
    sub txtdata { my ($self) = @_; return ($self->{text}); }
    sub char_str_list { my ($self) = @_; return ($self->{text}); }
}

{
    no warnings 'redefine';
    *Mail::DKIM::DNS::query_async = sub {
        my ($domain, $type, %options) = @_;
        my $callbacks = $options{Callbacks};
        return sub {
            my $records = $answers{ lc $domain };
            my $result = eval {
                die "query timed out\n" unless defined $records;
                $callbacks->{Success}->(map { Answer->new($_) } @$records);
            };
            $callbacks->{Error}->($@) if $@;
            return $result;
        };
    };
}

sub take {
    my ($bytes) = @_;
    my $text = '';
    while (length $text < $bytes) {
        read(STDIN, $text, $bytes - length $text, length $text) or die "the input ends early\n";
    }
    return $text;
}

sub line {
    my $line = <STDIN>;
    defined $line or return;
    chomp $line;
    return split /\t/, $line, -1;
}

sub verify {
    my ($bytes, $n_answers) = @_;
    my $message = take($bytes);
    %answers = ();
    for (1 .. $n_answers) {
        my ($name, $n_records) = line();
        next if $n_records < 0;
        $answers{$name} = [];
        for (1 .. $n_records) {
            my ($len) = line();
            push @{ $answers{$name} }, take($len);
        }
    }
    my $dkim = Mail::DKIM::Verifier->new(Strict => 1);
    eval { $dkim->PRINT($message); $dkim->CLOSE; 1 } or do {
        my $why = $@;
        $why =~ s/\s+/ /g;
        print "broken\t$why\t\n";
    };
    for my $signature ($dkim->signatures) {
        next if $signature->isa('Mail::DKIM::DkSignature');
        my $detail = $signature->{verify_details} // '';
        $detail =~ s/\s+/ /g;
        my $cut = ($signature->result // '') eq 'pass' && $signature->body_count ? ' limited' : '';
        print join("\t", ($signature->result // 'none') . $cut, $detail, unpack('H*', $signature->as_string)), "\n";
    }
    print "end\n";
    return;
}

sub sign {
    my ($bytes, $key_file, $method, $domain, $selector, $identity, $headers) = @_;
    my $message = take($bytes);
    my $dkim = Mail::DKIM::Signer->new(
        Algorithm => 'rsa-sha256', Method => $method, Domain => $domain, Selector => $selector, KeyFile => $key_file,
        $headers eq '' ? () : (Headers => $headers),
        $identity eq '' ? () : (Identity => $identity),
    );
    $dkim->PRINT($message);
    $dkim->CLOSE;
    print unpack('H*', $dkim->signature->as_string), "\n";
    return;
}

while (my ($what, @words) = line()) {
    if    ($what eq 'verify') { verify(@words); }
    elsif ($what eq 'sign')   { sign(@words); }
    else                      { die "what is '$what'?\n"; }
}
