# The version stands once, in project(). A checkout adds what git says: 0.1.0, or 0.1.0+12.gabcdef1 (twelve
# commits after the tag v0.1.0; without a tag the number of all commits), and .dirty with changes on top. Only the
# sources that name POSTERN_VERSION get it as a definition, so that a commit doesn't rebuild everything.

set(POSTERN_VERSION ${PROJECT_VERSION})
find_package(Git QUIET)
if(GIT_FOUND AND EXISTS ${PROJECT_SOURCE_DIR}/.git)
	set(git ${GIT_EXECUTABLE} -C ${PROJECT_SOURCE_DIR})
	set(since v${PROJECT_VERSION}..HEAD)
	execute_process(COMMAND ${git} rev-parse --verify --quiet v${PROJECT_VERSION}
		RESULT_VARIABLE untagged OUTPUT_QUIET ERROR_QUIET)
	if(untagged)
		set(since HEAD)
	endif()
	execute_process(COMMAND ${git} rev-list --count ${since}
		OUTPUT_VARIABLE ahead ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
	execute_process(COMMAND ${git} describe --always --dirty=.dirty --exclude=* --abbrev=7
		OUTPUT_VARIABLE commit ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
	if(commit AND NOT ahead STREQUAL "0")
		string(APPEND POSTERN_VERSION "+${ahead}.g${commit}")
	elseif(commit MATCHES "dirty")
		string(APPEND POSTERN_VERSION "+dirty")
	endif()
	if(EXISTS ${PROJECT_SOURCE_DIR}/.git/logs/HEAD) # changes with each commit: configure anew
		set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
			${PROJECT_SOURCE_DIR}/.git/logs/HEAD)
	endif()
endif()
message(STATUS "postern ${POSTERN_VERSION}")

# postern_version_for(SOURCES...)
function(postern_version_for)
	foreach(source IN LISTS ARGN)
		file(STRINGS ${source} mentions REGEX "POSTERN_VERSION" LIMIT_COUNT 1)
		if(mentions)
			set_property(SOURCE ${source} APPEND PROPERTY
				COMPILE_DEFINITIONS "POSTERN_VERSION=\"${POSTERN_VERSION}\"")
		endif()
	endforeach()
endfunction()
